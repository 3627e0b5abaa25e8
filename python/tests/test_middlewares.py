"""The middlewares: each framework's requests are let in, refused and passed on alike."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import tollbar
from conftest import AUTH, TOKEN, YAML
from tollbar import Engine
from tollbar.http import Gate, Rule

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

API_KEY = {"Authorization": "ApiKey aWQ6c2VjcmV0"}


def make_engine(yaml: str = YAML) -> Engine:
    engine = Engine.from_str(yaml)
    engine.set_verifier(lambda id, _key: ["event:write"] if id == "id" else None)  # noqa: A006
    return engine


def make_gate() -> Gate:
    return Gate(make_engine(), skip=["/health"], ratelimit_headers=True, logger=None)


def asgi_transport(app: Any) -> httpx.AsyncBaseTransport:
    return httpx.ASGITransport(app, client=("198.51.100.7", 1234))


def starlette_app() -> httpx.AsyncBaseTransport:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.requests import Request  # noqa: TC002
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from tollbar.asgi import TollbarMiddleware

    async def client(request: Request) -> JSONResponse:
        assert request.state.tollbar is request.scope["tollbar"]
        return JSONResponse({"method": request.state.tollbar.method})

    async def health(request: Request) -> JSONResponse:
        return JSONResponse({"method": request.scope.get("tollbar")})

    routes = [Route("/client", client), Route("/health", health)]
    return asgi_transport(Starlette(routes=routes, middleware=[Middleware(TollbarMiddleware, engine=make_gate())]))


def fastapi_app() -> httpx.AsyncBaseTransport:
    from fastapi import Depends, FastAPI

    from tollbar.fastapi import Tollbar

    app = FastAPI()
    gate = Tollbar(make_gate(), app)

    @app.get("/client")
    async def client(client: tollbar.Client = Depends(gate)) -> dict[str, str | None]:  # noqa: B008
        return {"method": client.method}

    @app.get("/health")
    async def health() -> dict[str, None]:
        return {"method": None}

    return asgi_transport(app)


def wsgi_app() -> httpx.BaseTransport:
    from tollbar.wsgi import TollbarMiddleware

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        client = environ.get("tollbar.client")
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"method": client.method if client else None}).encode()]

    return httpx.WSGITransport(TollbarMiddleware(app, make_gate()), remote_addr="198.51.100.7")


def flask_app() -> httpx.BaseTransport:
    import flask

    from tollbar.flask import Tollbar

    app = flask.Flask(__name__)
    Tollbar(app, make_gate())

    @app.get("/client")
    def client() -> dict[str, str]:
        return {"method": flask.g.tollbar.method}

    @app.get("/health")
    def health() -> dict[str, None]:
        return {"method": flask.g.get("tollbar")}

    return httpx.WSGITransport(app, remote_addr="198.51.100.7")


def _django() -> None:
    import sys
    from types import ModuleType

    import django
    from django.conf import settings
    from django.http import HttpRequest, JsonResponse
    from django.urls import path

    def view(request: HttpRequest) -> JsonResponse:
        client = getattr(request, "tollbar", None)
        return JsonResponse({"method": client.method if client else None})

    if not settings.configured:
        urls = ModuleType("tollbar_test_urls")
        urls.__dict__["urlpatterns"] = [path("client", view), path("health", view)]
        sys.modules[urls.__name__] = urls
        settings.configure(
            ROOT_URLCONF=urls.__name__,
            MIDDLEWARE=["tollbar.django.TollbarMiddleware"],
            ALLOWED_HOSTS=["*"],
            DEBUG=False,
        )
        django.setup()
    settings.TOLLBAR = {"ENGINE": make_gate()}


def django_wsgi_app() -> httpx.BaseTransport:
    from django.core.handlers.wsgi import WSGIHandler

    _django()
    return httpx.WSGITransport(WSGIHandler(), remote_addr="198.51.100.7")


def django_asgi_app() -> httpx.AsyncBaseTransport:
    from django.core.handlers.asgi import ASGIHandler

    _django()
    return asgi_transport(ASGIHandler())


APPS = [starlette_app, fastapi_app, wsgi_app, flask_app, django_wsgi_app, django_asgi_app]


@pytest.fixture(params=APPS, ids=[app.__name__ for app in APPS])
def get(request: pytest.FixtureRequest) -> Callable[..., Awaitable[httpx.Response]]:
    """Return a client of each framework's application."""
    transport = request.param()

    async def get(path: str, **headers: str) -> httpx.Response:
        url = f"http://intake{path}"
        if isinstance(transport, httpx.AsyncBaseTransport):
            async with httpx.AsyncClient(transport=transport) as http:
                return await http.get(url, headers=headers)
        with httpx.Client(transport=transport) as http_sync:
            return http_sync.get(url, headers=headers)  # noqa: ASYNC212 (it calls the application)

    return get


async def test_the_application_is_told_who_its_client_is(get: Callable[..., Awaitable[httpx.Response]]) -> None:
    for headers, method in ((AUTH, "secret_token"), (API_KEY, "api_key"), ({}, "anonymous")):
        response = await get("/client", **headers)
        assert (response.status_code, response.json()) == (200, {"method": method})


async def test_a_wrong_credential_is_refused(get: Callable[..., Awaitable[httpx.Response]]) -> None:
    for wrong in ("Bearer wrong", "ApiKey b3RoZXI6c2VjcmV0", "Basic dTpw"):
        response = await get("/client", Authorization=wrong)
        assert response.status_code == 401
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["www-authenticate"].startswith("Bearer ")
        assert response.json()["status"] == 401


async def test_anonymous_clients_are_limited_and_told_how_much(
    get: Callable[..., Awaitable[httpx.Response]],
) -> None:
    allowed = [await get("/client") for _ in range(3)]
    assert {response.status_code for response in allowed} == {200}
    assert allowed[0].headers["ratelimit-policy"] == '"events";q=3;w=3'
    assert allowed[0].headers["ratelimit"].startswith('"events";r=2;t=')
    # One comes back in a second: on a slow machine, some more are let in.
    for _ in range(1000):
        refused = await get("/client")
        if refused.status_code != 200:
            break
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["ratelimit"] == '"events";r=0;t=1'
    assert refused.json()["reason"] == "rate_limited"
    by_token = await get("/client", **AUTH)
    assert by_token.status_code == 200
    assert "ratelimit" not in by_token.headers


async def test_paths_that_are_skipped_ask_for_nothing(get: Callable[..., Awaitable[httpx.Response]]) -> None:
    response = await get("/health", Authorization="Bearer wrong")
    assert (response.status_code, response.json()) == (200, {"method": None})


async def test_asgi_passes_on_what_it_does_not_gate() -> None:
    from tollbar.asgi import TollbarMiddleware

    seen: list[tuple[str, object, object]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["type"], receive, send))

    async def receive() -> Any:
        raise AssertionError

    async def send(_: Any) -> None:
        raise AssertionError

    middleware = TollbarMiddleware(app, make_engine())
    for kind in ("lifespan", "websocket"):
        await middleware({"type": kind, "path": "/", "headers": []}, receive, send)
    headers = [(b"authorization", f"Bearer {TOKEN}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers, "client": None}
    await middleware(scope, receive, send)
    # The very same: nothing stands between the application and the body.
    assert seen == [("lifespan", receive, send), ("websocket", receive, send), ("http", receive, send)]
    assert "tollbar" not in scope


async def test_asgi_refuses_before_it_reads_the_body() -> None:
    from tollbar.asgi import TollbarMiddleware

    async def never(*_: Any) -> Any:
        raise AssertionError

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"authorization", b"Bearer wrong")]}
    await TollbarMiddleware(never, make_engine(), logger=None)(scope, never, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == 401


async def test_asgi_verifies_keys_of_peers_without_an_address() -> None:
    from tollbar.asgi import TollbarMiddleware

    seen: list[str] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["tollbar"].method + " " + scope["state"]["tollbar"].client)

    headers = [(b"authorization", API_KEY["Authorization"].encode())]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers, "client": ("testclient", 1)}
    await TollbarMiddleware(app, make_engine())(scope, None, None)  # type: ignore[arg-type]
    assert seen == ["api_key 127.0.0.1"]


@pytest.mark.parametrize("several_rules", [False, True])
@pytest.mark.parametrize("ratelimit_headers", [False, True])
async def test_asgi_decides_charges_and_logs_once(
    several_rules: bool, ratelimit_headers: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """However a gate is made: its common way and its others come to the same."""
    from tollbar.asgi import TollbarMiddleware

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        assert scope["tollbar"].allowed
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    engine = make_engine(YAML.replace("allow_agent: []", "allow_service: [shop]"))
    gated = Rule(agent="rum-js", service="shop", cost=2)
    theirs = Rule(agent="rum-js", service="theirs")
    middlewares = [
        TollbarMiddleware(
            app,
            engine,
            rules={"/elsewhere": None} if several_rules else {},
            default=rule,
            ratelimit_headers=ratelimit_headers,
        )
        for rule in (gated, theirs)
    ]
    caplog.set_level("INFO", "tollbar.refusals")

    async def status(credential: str | None, middleware: TollbarMiddleware = middlewares[0]) -> int:
        async with httpx.AsyncClient(transport=asgi_transport(middleware), base_url="http://intake") as http:
            headers = {} if credential is None else {"Authorization": credential}
            return (await http.get("/", headers=headers)).status_code

    assert await status(None) == 202
    assert await status(AUTH["Authorization"]) == 202
    assert await status(API_KEY["Authorization"]) == 202
    # Known by now: not pending.
    assert await status(API_KEY["Authorization"]) == 202
    assert not caplog.records
    assert await status("Bearer wrong") == 401
    assert await status("ApiKey b3RoZXI6a2V5") == 401
    assert await status(None, middlewares[1]) == 403
    # The burst is three, of which the first request and the forbidden one took all.
    assert await status(None) == 429
    reasons = [record.tollbar["reason"] for record in caplog.records]  # type: ignore[attr-defined]
    assert reasons == ["invalid_token", "invalid_api_key", "service_not_allowed", "rate_limited"]
    refused = {reason: n for reason, n in engine.stats()["refused"].items() if n and reason != "pending"}
    assert refused == dict.fromkeys(reasons, 1)


async def test_fastapi_describes_the_credentials_and_the_rules_of_routes() -> None:
    from fastapi import Depends, FastAPI

    from tollbar.fastapi import Tollbar

    app = FastAPI()
    gate = Tollbar(make_engine(), logger=None)

    @app.post("/maps", dependencies=[Depends(gate.require(Rule(action="sourcemap")))])
    async def maps() -> None: ...

    document = app.openapi()
    assert document["paths"]["/maps"]["post"]["security"] == [{"secret_token": []}, {"api_key": []}]
    assert document["components"]["securitySchemes"]["secret_token"]["scheme"] == "bearer"
    async with httpx.AsyncClient(transport=asgi_transport(app), base_url="http://intake") as http:
        # Without a handler of its own: FastAPI's, with the headers of the refusal.
        anonymous = await http.post("/maps")
        assert (anonymous.status_code, list(anonymous.json())) == (403, ["detail"])
        wrong = await http.post("/maps", headers={"Authorization": "Bearer wrong"})
        assert wrong.headers["www-authenticate"].startswith("Bearer ")
        assert (await http.post("/maps", headers=AUTH)).status_code == 200


def test_wsgi_paths_are_utf8() -> None:
    from tollbar.wsgi import request_of

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/caf\xc3\xa9", "HTTP_X_A": "1", "REMOTE_ADDR": ""}
    request = request_of(environ)
    assert (request.path, request.header("x-a"), request.peer) == ("/café", "1", "")


@pytest.mark.parametrize("setting", [None, {}, {"ENGINE": 1, "CONFIG": "x"}])
def test_django_says_what_its_setting_has_to_be(setting: Any) -> None:
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    from tollbar.django import gate_of_settings

    _django()
    settings.TOLLBAR = setting
    with pytest.raises(ImproperlyConfigured, match="accepted is a dict"):
        gate_of_settings()


def test_django_makes_one_gate_of_a_configuration(tmp_path: Any) -> None:
    from django.conf import settings

    from tollbar.django import gate_of_settings

    _django()
    config = tmp_path / "apm-server.yml"
    config.write_text(YAML)
    settings.TOLLBAR = {"CONFIG": config, "OPTIONS": {"skip": ["/health"]}}
    gate = gate_of_settings()
    assert gate_of_settings() is gate
    assert gate.rule("GET", "/health") is None
