"""API keys through the ingestor: local ones, and those that a stand-in for Elasticsearch knows."""

from __future__ import annotations

import asyncio
import base64
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

import tollbar
from conftest import METADATA, NDJSON, ingestor, ndjson, transaction
from elasticsearch import Elasticsearch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    import httpx

    from conftest import Ingestor, Servers

EVENTS = "/intake/v2/events"
BODY = ndjson(METADATA, transaction(1))
CREDENTIAL = base64.b64encode(b"agents:a-secret-of-128-bits").decode()
WRONG = base64.b64encode(b"agents:another-secret-entirely").decode()
INGEST_ONLY = ["event:write"]


@pytest.fixture
def elasticsearch() -> Iterator[Elasticsearch]:
    with Elasticsearch() as one:
        one.keys[CREDENTIAL] = INGEST_ONLY
        yield one
        assert not one.wrong


@asynccontextmanager
async def intake_of(yaml: str, directory: Path) -> AsyncIterator[Ingestor]:
    async with ingestor(yaml, directory) as one:
        yield one


async def post(
    one: Ingestor, credential: str = CREDENTIAL, path: str = EVENTS, content: bytes = BODY, **headers: str
) -> httpx.Response:
    headers = {"Authorization": f"ApiKey {credential}", **NDJSON, **headers}
    return await one.http.post(path, content=content, headers=headers)


async def test_a_local_key_is_accepted_for_what_it_may_do(tmp_path: Path) -> None:
    key = tollbar.generate_api_key("agents")
    keys = f"[{{id: agents, hash: '{key.hash}', privileges: 'event:write'}}]"
    async with ingestor(f"apm-server.auth.api_key: {{enabled: true, keys: {keys}}}", tmp_path) as one:
        assert (await post(one, key.credential)).status_code == 202
        assert one.written()[0]["method"] == "api_key"
        wrong = await post(one, WRONG)
        assert (wrong.status_code, "WWW-Authenticate" in wrong.headers) == (401, True)
        headers = {"Authorization": f"ApiKey {key.credential}"}
        config = await one.http.get("/config/v1/agents?service.name=my-frontend", headers=headers)
        assert config.status_code == 403
        assert "lacks the privilege" in config.json()["error"]
        assert (await one.http.post("/assets/v1/sourcemaps", headers=headers)).status_code == 403
        root = await one.http.get("/", headers=headers)
        assert root.json()["version"] == tollbar.__version__
        assert "a-secret" not in repr(one.engine.recent_refusals())


async def test_an_unknown_key_is_verified_before_the_request_goes_on(
    elasticsearch: Elasticsearch, tmp_path: Path
) -> None:
    elasticsearch.delay = 0.1
    async with ingestor(elasticsearch.config(), tmp_path) as one:
        answers = await asyncio.gather(*(post(one) for _ in range(10)), *(post(one, WRONG) for _ in range(10)))
        assert [answer.status_code for answer in answers] == [202] * 10 + [401] * 10
        assert sorted(elasticsearch.asked) == sorted([CREDENTIAL, WRONG])
        assert {line["method"] for line in one.written()} == {"api_key"}
        assert len(one.written()) == 10


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/metrics", "/v1/logs"])
async def test_otlp_waits_for_a_verdict_too(elasticsearch: Elasticsearch, tmp_path: Path, path: str) -> None:
    json = {"Content-Type": "application/json"}
    async with ingestor(elasticsearch.config(), tmp_path) as one:
        assert (await post(one, path=path, content=b"{}", **json)).status_code == 200
        assert (await post(one, WRONG, path, b"{}", **json)).json()["code"] == 16
        elasticsearch.status = 500
        unknown = await post(one, base64.b64encode(b"x:y").decode(), path, b"{}", **json)
        assert (unknown.status_code, unknown.json()["code"]) == (503, 14)


async def test_every_route_waits_for_a_verdict(elasticsearch: Elasticsearch, tmp_path: Path) -> None:
    elasticsearch.keys[CREDENTIAL] = ["config_agent:read"]
    async with ingestor(elasticsearch.config(), tmp_path) as one:
        headers = {"Authorization": f"ApiKey {CREDENTIAL}"}
        config = await one.http.get("/config/v1/agents?service.name=my-frontend", headers=headers)
        assert (config.status_code, config.json()) == (200, {})
        refused = await post(one)
        assert refused.status_code == 403
        assert refused.json()["accepted"] == 0
    async with ingestor(elasticsearch.config(), tmp_path) as one:
        assert (await one.http.get("/", headers=headers)).json()["publish_ready"] is True
    async with ingestor(elasticsearch.config(), tmp_path) as one:
        assert (await one.http.post("/assets/v1/sourcemaps", headers=headers)).status_code == 403


async def test_while_elasticsearch_fails_it_is_503_and_afterwards_well(
    elasticsearch: Elasticsearch, tmp_path: Path
) -> None:
    async with ingestor(elasticsearch.config(), tmp_path) as one:
        for status in (500, 429, 302):
            elasticsearch.status = status
            answer = await post(one)
            assert answer.status_code == 503
            assert "cannot be verified now" in answer.json()["error"]
            assert "WWW-Authenticate" not in answer.headers
        elasticsearch.status = None
        assert (await post(one)).status_code == 202
        assert [refusal.reason for refusal in one.engine.recent_refusals()] == ["unavailable"] * 3


async def test_waiting_is_bounded_and_holds_up_nobody(elasticsearch: Elasticsearch, tmp_path: Path) -> None:
    elasticsearch.delay = 2.0
    yaml = elasticsearch.config(timeout="300ms") + "apm-server.auth.secret_token: a-token\n"
    async with ingestor(yaml, tmp_path) as one:
        started = time.monotonic()
        slow = asyncio.gather(*(post(one, base64.b64encode(b"x:%d" % n).decode()) for n in range(20)))
        quick = await one.http.post(EVENTS, content=BODY, headers={"Authorization": "Bearer a-token", **NDJSON})
        assert quick.status_code == 202
        assert time.monotonic() - started < 0.3
        assert {answer.status_code for answer in await slow} == {503}
        assert time.monotonic() - started < 1.5


async def test_a_body_is_not_read_before_the_verdict(elasticsearch: Elasticsearch, tmp_path: Path) -> None:
    elasticsearch.delay = 0.2
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read += 1
        assert elasticsearch.asked == [WRONG]
        yield BODY

    async with ingestor(elasticsearch.config(), tmp_path) as one:
        headers = {"Authorization": f"ApiKey {WRONG}", **NDJSON}
        assert (await one.http.post(EVENTS, content=body(), headers=headers)).status_code == 401


def test_no_secret_is_in_the_log(elasticsearch: Elasticsearch, servers: Servers) -> None:
    import httpx

    elasticsearch.status = 500
    server = servers.start(elasticsearch.config(), "--log-level", "debug")

    def send(credential: str) -> Any:
        headers = {"Authorization": f"ApiKey {credential}", **NDJSON}
        return httpx.post(server.url + EVENTS, content=BODY, headers=headers).status_code

    assert send(CREDENTIAL) == 503
    server.wait_for_log("API keys cannot be verified now")
    elasticsearch.status = None
    assert [send(CREDENTIAL), send(WRONG), send("a-secret-of-its-own")] == [202, 401, 401]
    assert server.stop() == 0
    shown = "".join(server.log)
    assert not [secret for secret in (CREDENTIAL, WRONG, "secret-of", "another-secret") if secret in shown]
