"""The other routes: server information, agent configuration, source maps, CORS, unknown paths and methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from conftest import AUTH, METADATA, NDJSON, Ingestor, config, ingestor, ndjson, transaction

if TYPE_CHECKING:
    from pathlib import Path

CONFIG_ROUTES = ["/config/v1/agents", "/config/v1/rum/agents"]
RUM_ROUTES = ["/intake/v2/rum/events", "/intake/v3/rum/events", "/config/v1/rum/agents"]


async def test_server_information_is_for_the_authenticated(intake: Ingestor) -> None:
    response = await intake.http.get("/", headers=AUTH)
    assert response.status_code == 200
    assert set(response.json()) == {"build_date", "build_sha", "publish_ready", "version"}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
async def test_others_learn_nothing_of_the_server(intake: Ingestor, headers: dict[str, str]) -> None:
    response = await intake.http.get("/", headers=headers)
    assert (response.status_code, response.content) == (200, b"")


async def test_asking_for_the_server_costs_nothing(tmp_path: Path) -> None:
    async with ingestor(config(event_limit=1), tmp_path) as intake:
        assert {(await intake.http.get("/")).status_code for _ in range(10)} == {200}


@pytest.mark.parametrize("path", ["/x", "/intake/v2/events/", "/intake", "//", "/v1/profiles"])
async def test_an_unknown_path_is_404(intake: Ingestor, path: str) -> None:
    response = await intake.http.post("http://intake" + path, headers=AUTH)
    assert (response.status_code, response.json()) == (404, {"error": "404 page not found"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/intake/v2/events"),
        ("GET", "/intake/v3/rum/events"),
        ("PUT", "/config/v1/agents"),
        ("GET", "/v1/traces"),
        ("GET", "/assets/v1/sourcemaps"),
        ("OPTIONS", "/intake/v2/events"),
        ("DELETE", "/"),
    ],
)
async def test_a_wrong_method_is_405(intake: Ingestor, method: str, path: str) -> None:
    response = await intake.http.request(method, path, headers=AUTH)
    assert response.status_code == 405
    assert response.headers["allow"]
    assert response.json() == {"error": f"method not supported: {method}"}


@pytest.mark.parametrize("path", CONFIG_ROUTES)
@pytest.mark.parametrize("headers", [AUTH, {}])
async def test_agent_configuration_is_empty_and_cached(intake: Ingestor, path: str, headers: dict[str, str]) -> None:
    for response in (
        await intake.http.get(path, params={"service.name": "my-frontend"}, headers=headers),
        await intake.http.post(path, json={"service": {"name": "my-frontend"}}, headers=headers),
    ):
        assert (response.status_code, response.json()) == (200, {})
        assert response.headers["etag"] == '"-"'
        assert response.headers["cache-control"] == "max-age=30, must-revalidate"


@pytest.mark.parametrize("path", CONFIG_ROUTES)
async def test_an_agent_that_knows_the_configuration_is_told_304(intake: Ingestor, path: str) -> None:
    params = {"service.name": "my-frontend"}
    for headers, query in (({"If-None-Match": '"-"'}, params), ({}, {**params, "ifnonematch": "-"})):
        response = await intake.http.get(path, params=query, headers=headers)
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == '"-"'


@pytest.mark.parametrize("path", CONFIG_ROUTES)
async def test_an_anonymous_agent_asks_for_an_allowed_service_only(intake: Ingestor, path: str) -> None:
    response = await intake.http.get(path, params={"service.name": "theirs"})
    assert response.status_code == 403
    assert "theirs" in response.json()["error"]
    assert response.headers["cache-control"] == "max-age=300, must-revalidate"
    assert (await intake.http.get(path, params={"service.name": "theirs"}, headers=AUTH)).status_code == 200


async def test_agent_configuration_needs_a_service_name(intake: Ingestor) -> None:
    path = CONFIG_ROUTES[0]
    bodies: list[Any] = [b"{", b"[]", b"5", b'{"service": []}', b'{"service": {"name": 5}}', b"[" * 60_000]
    for body in bodies:
        response = await intake.http.post(path, content=body, headers=AUTH)
        assert response.status_code == 400
        assert "service" in response.json()["error"]
    assert (await intake.http.get(path, headers=AUTH)).json() == {"error": "service.name is required"}
    assert (await intake.http.get(path)).json() == {"error": "invalid query"}
    large = await intake.http.post(path, content=b" " * 70_000, headers=AUTH)
    assert large.status_code == 413


async def test_the_rum_configuration_route_is_closed_while_rum_is_disabled(tmp_path: Path) -> None:
    async with ingestor(config(rum=False), tmp_path) as intake:
        params = {"service.name": "my-frontend"}
        assert (await intake.http.get(CONFIG_ROUTES[1], params=params)).status_code == 403
        assert (await intake.http.get(CONFIG_ROUTES[0], params=params)).status_code == 200


async def test_agent_configuration_is_rate_limited(tmp_path: Path) -> None:
    async with ingestor(config(event_limit=1), tmp_path) as intake:
        params = {"service.name": "my-frontend"}
        statuses = [(await intake.http.get(CONFIG_ROUTES[1], params=params)).status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]


UPLOAD: dict[str, Any] = {
    "data": {"service_name": "my-frontend", "service_version": "1", "bundle_filepath": "/app.js"},
    "files": {"sourcemap": ("app.js.map", b'{"version": 3}' * 10_000)},
}


async def test_source_maps_are_acknowledged(intake: Ingestor) -> None:
    response = await intake.http.post("/assets/v1/sourcemaps", **UPLOAD, headers=AUTH)
    assert (response.status_code, response.content) == (202, b"")


async def test_source_maps_are_never_anonymous_here(intake: Ingestor) -> None:
    assert (await intake.http.post("/assets/v1/sourcemaps", **UPLOAD)).status_code == 403
    wrong = {"Authorization": "Bearer wrong"}
    assert (await intake.http.post("/assets/v1/sourcemaps", **UPLOAD, headers=wrong)).status_code == 401


async def test_a_source_map_upload_is_checked(intake: Ingestor) -> None:
    path = "/assets/v1/sourcemaps"
    missing = await intake.http.post(path, data={"service_name": "a"}, files=UPLOAD["files"], headers=AUTH)
    assert missing.status_code == 400
    assert "bundle_filepath, service_version must be sent" in missing.json()["error"]
    assert (await intake.http.post(path, json={}, headers=AUTH)).status_code == 400
    form = {**AUTH, "Content-Type": "multipart/form-data; boundary=b"}
    for body in (b"", b"garbage", b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\nhalf"):
        response = await intake.http.post(path, content=body, headers=form)
        assert response.status_code == 400
        assert "form data" in response.json()["error"]
    header = b"--b\r\nX: " + b"y" * 100_000 + b"\r\n\r\n"
    assert (await intake.http.post(path, content=header, headers=form)).status_code == 400


@pytest.mark.parametrize("path", RUM_ROUTES)
async def test_a_preflight_is_answered_without_authentication(tmp_path: Path, path: str) -> None:
    async with ingestor(config(rum=False), tmp_path) as intake:
        response = await intake.http.options(
            path, headers={"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
        )
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["access-control-allow-origin"] == "https://shop.example"
        assert response.headers["access-control-allow-methods"] == "POST, OPTIONS"
        assert "Content-Encoding" in response.headers["access-control-allow-headers"]
        assert "If-None-Match" in response.headers["access-control-allow-headers"]
        assert response.headers["access-control-max-age"] == "3600"
        assert "Etag" in response.headers["access-control-expose-headers"]
        assert response.headers["vary"] == "Origin"


async def test_pages_can_read_acceptance_and_refusal(intake: Ingestor) -> None:
    origin = {"Origin": "https://shop.example", **NDJSON}
    theirs = {"metadata": {"service": {"name": "theirs", "agent": {"name": "rum-js"}}}}
    wrong = {**origin, "Authorization": "Bearer wrong"}
    for status, headers, metadata in ((202, origin, METADATA), (403, origin, theirs), (401, wrong, METADATA)):
        response = await intake.http.post(RUM_ROUTES[0], content=ndjson(metadata, transaction()), headers=headers)
        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] == "https://shop.example"
    get = await intake.http.get(RUM_ROUTES[0], headers=origin)
    assert get.status_code == 405
    assert get.headers["access-control-allow-origin"] == "https://shop.example"


@pytest.mark.parametrize("path", RUM_ROUTES)
async def test_pages_of_other_origins_are_turned_away(tmp_path: Path, path: str) -> None:
    rules = 'apm-server.rum.allow_origins: ["https://*.shop.example"]\napm-server.rum.allow_headers: [X-Trace]\n'
    async with ingestor(config() + rules, tmp_path) as intake:
        ours, theirs = {"Origin": "https://www.shop.example"}, {"Origin": "https://evil.example"}
        preflight = await intake.http.options(path, headers=theirs)
        assert preflight.status_code == 200
        assert "access-control-allow-origin" not in preflight.headers
        assert preflight.headers["vary"] == "Origin"
        preflight = await intake.http.options(path, headers=ours)
        assert preflight.headers["access-control-allow-origin"] == ours["Origin"]
        assert preflight.headers["access-control-allow-headers"].endswith(", If-None-Match, X-Trace")
        for headers in (theirs, {}):
            response = await intake.http.post(path, headers=headers)
            assert response.status_code == 403
            shown = headers.get("Origin", "")
            assert response.json() == {"error": f"forbidden request: origin: '{shown}' is not allowed"}
            assert "access-control-allow-origin" not in response.headers
        assert (await intake.http.post(path, headers=ours)).status_code != 403
        # They hold from the next request on.
        intake.engine.reload(config() + 'apm-server.rum.allow_origins: ["https://evil.example"]\n')
        assert (await intake.http.post(path, headers=ours)).status_code == 403
        preflight = await intake.http.options(path, headers=theirs)
        assert preflight.headers["access-control-allow-origin"] == theirs["Origin"]
        assert "X-Trace" not in preflight.headers["access-control-allow-headers"]
    assert not intake.engine.stats()["refused"].get("rate_limited")


async def test_backend_routes_have_no_cors(intake: Ingestor) -> None:
    response = await intake.http.post("/intake/v2/events", headers={**AUTH, "Origin": "https://shop.example"})
    assert "access-control-allow-origin" not in response.headers
