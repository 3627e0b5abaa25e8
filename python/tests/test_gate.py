"""`tollbar.http`: rules, refusals as problem documents, headers, logging. Every middleware keeps this."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from typing import TYPE_CHECKING

import pytest

from tollbar import Engine
from tollbar.http import (
    APM_RULES,
    QUOTA_EXCEEDED,
    Content,
    Gate,
    Request,
    Rule,
    from_header,
    from_query,
    gate,
)

if TYPE_CHECKING:
    from tollbar import Decision

TOKEN = "correct-horse-battery-staple"
PEER = "198.51.100.7"
YAML = f"""
apm-server:
  auth:
    secret_token: {TOKEN}
    anonymous: {{enabled: true, allow_agent: [], allow_service: [shop], rate_limit: {{ip_limit: 10, event_limit: 2}}}}
  rum.enabled: false
"""
BEARER = [(b"authorization", f"Bearer {TOKEN}".encode())]


def request(path: str = "/", method: str = "POST", headers: list[tuple[bytes, bytes]] | None = None) -> Request:
    return Request(method, path, headers or [], PEER)


@pytest.fixture
def engine() -> Engine:
    return Engine.from_str(YAML)


def test_the_method_goes_first_and_then_the_longest_path(engine: Engine) -> None:
    one, two, three, four, default = (Rule(cost=cost) for cost in (1, 2, 3, 4, 5))
    rules = {"GET /a": one, "/a": two, "/a/*": three, "/a/b/*": four, "/free/*": None, "PUT /a/b/*": one}
    it = Gate(engine, rules=rules, default=default, skip=["/health"])
    expected = {
        ("GET", "/a"): one,
        ("HEAD", "/a"): one,
        ("POST", "/a"): two,
        ("POST", "/a/"): three,
        ("POST", "/a/c"): three,
        ("POST", "/a/b/c"): four,
        ("PUT", "/a/b/c"): one,
        ("GET", "/free/of/charge"): None,
        ("GET", "/health"): None,
        ("GET", "/healthy"): default,
        ("get", "/a"): two,
    }
    assert {key: it.rule(*key) for key in expected} == expected
    assert Gate(engine, default=None).rule("GET", "/") is None


@pytest.mark.parametrize("key", ["a", "*", "get /a", "GET  /a", "GET/a", "", "GET "])
def test_a_key_that_is_no_route_is_refused(engine: Engine, key: str) -> None:
    with pytest.raises(ValueError, match='accepted are "/path"'):
        Gate(engine, rules={key: Rule()})


def test_options_belong_to_the_gate(engine: Engine) -> None:
    made = Gate(engine)
    assert gate(made, {}) is made
    with pytest.raises(TypeError, match="give them to the Gate"):
        gate(made, {"skip": ["/"]})


def test_what_is_not_known_is_not_allowed(engine: Engine) -> None:
    it = Gate(engine)
    assert it.enter(request(), Rule()).decision.reason == "service_not_allowed"
    assert it.enter(request(), Rule(service="shop")).decision.allowed
    assert it.enter(request(headers=BEARER), Rule()).decision.method == "secret_token"


def test_the_application_may_authorize_itself(engine: Engine) -> None:
    client, decision = Gate(engine).enter(request(), Rule(authorize=False))
    assert decision.allowed
    assert decision.remaining == 5
    assert client.authorize(service="theirs").reason == "service_not_allowed"
    assert Gate(engine).enter(request(), Rule(authorize=False, rum=True)).decision.reason == "rum_disabled"


def test_a_rule_that_does_not_enforce_charges_nothing(engine: Engine) -> None:
    it = Gate(engine, logger=None)
    for _ in range(20):
        assert it.enter(request(), Rule(enforce=False)).decision.allowed
    wrong = it.enter(request(headers=[(b"authorization", b"Bearer wrong")]), Rule(enforce=False))
    assert (wrong.decision.status, wrong.client.allowed) == (401, False)


def test_each_refusal_is_counted_and_recorded_once(engine: Engine) -> None:
    it = Gate(engine, logger=None)
    it.enter(request(headers=[(b"authorization", b"Bearer wrong")]), Rule())
    it.enter(request(headers=[(b"authorization", b"Bearer wrong")]), Rule(authorize=False, rum=True))
    assert engine.stats()["refused"]["invalid_token"] == 2
    assert [refusal.reason for refusal in engine.recent_refusals()] == ["invalid_token"] * 2


def test_names_are_found_in_headers_and_queries(engine: Engine) -> None:
    rule = Rule(agent=from_header("X-Agent"), service=from_query("service.name"))
    named = Request("GET", "/", [(b"x-agent", b"rum-js"), (b"X-AGENT", b"other")], PEER, b"a=b&service.name=sh%6fp")
    assert named.header("x-agent") == "rum-js"
    assert Gate(engine).enter(named, rule).decision.allowed
    mapping = Request("GET", "/", {"X-Agent": "rum-js"}, PEER, "service.name=%ff")
    assert mapping.header("x-AGENT") == "rum-js"
    assert Gate(engine).enter(mapping, rule).decision.status == 403
    assert mapping.header("absent") is None


def test_a_refusal_is_a_problem_document(engine: Engine) -> None:
    it = Gate(engine)
    wrong = request(headers=[(b"authorization", b"Bearer wrong")])
    status, headers, body = it.respond(wrong, it.enter(wrong, Rule()).decision)
    fields = dict(headers)
    assert status == 401
    assert fields["Content-Type"] == "application/problem+json"
    assert fields["Content-Length"] == str(len(body))
    assert fields["Cache-Control"] == "no-store"
    assert fields["WWW-Authenticate"].startswith("Bearer ")
    assert "Retry-After" not in fields
    document = json.loads(body)
    assert document == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": document["detail"],
        "reason": "invalid_token",
    }
    assert "wrong" not in body.decode()


def test_a_refusal_of_the_rate_limit_says_when_to_come_back(engine: Engine) -> None:
    it = Gate(engine, ratelimit_headers=True)
    rule = Rule(service="shop", cost=6)
    allowed = it.enter(request(), rule).decision
    assert dict(it.headers(allowed)) == {"RateLimit-Policy": '"events";q=6;w=3', "RateLimit": '"events";r=0;t=3'}
    refused = it.enter(request(), rule).decision
    status, headers, body = it.respond(request(), refused)
    fields, document = dict(headers), json.loads(body)
    assert (status, fields["Retry-After"], fields["RateLimit"]) == (429, "3", '"events";r=0;t=3')
    assert (document["type"], document["status"], document["violated-policies"]) == (QUOTA_EXCEEDED, 429, ["events"])
    by_token = it.enter(request(headers=BEARER), rule).decision
    assert it.headers(by_token) == []
    assert Gate(engine).headers(refused) == []


def test_a_service_words_its_refusals_but_cannot_lose_their_headers(engine: Engine) -> None:
    def denial(request: Request, decision: Decision) -> Content:
        return Content("text/plain", f"{request.path}: {decision.reason}".encode(), {"X-Why": "because"})

    it = Gate(engine, denial=denial)
    wrong = request("/a", "HEAD", [(b"authorization", b"Bearer wrong")])
    status, headers, body = it.respond(wrong, it.enter(wrong, Rule()).decision)
    assert (status, body) == (401, b"")
    assert {"WWW-Authenticate", "X-Why"} <= dict(headers).keys()
    assert dict(headers)["Content-Length"] == "17"


def test_refusals_are_logged_with_structure_and_without_secrets(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    it = Gate(engine)
    with caplog.at_level(logging.INFO, "tollbar.refusals"):
        it.enter(request("/a\nb", headers=[(b"authorization", b"Bearer hunter2")]), Rule())
        it.enter(request(headers=BEARER), Rule())
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    fields = record.__dict__["tollbar"]
    assert (fields["reason"], fields["status"], fields["client"], fields["path"]) == (
        "invalid_token",
        401,
        PEER,
        "/a\nb",
    )
    assert record.getMessage() == "refused: 401 invalid_token, client 198.51.100.7, POST '/a\\nb'"
    assert "hunter2" not in record.getMessage() + repr(fields)


def test_a_flood_of_refusals_is_no_flood_of_logs(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    it = Gate(engine)
    wrong = request(headers=[(b"authorization", b"Bearer wrong")])
    with caplog.at_level(logging.INFO, "tollbar.refusals"):
        for _ in range(1000):
            it.enter(wrong, Rule())
    # However slow the machine: some are left out in each second.
    assert 10 <= len(caplog.records) < 1000
    assert sum(record.__dict__["tollbar"]["left_out"] for record in caplog.records) <= 990


def test_a_peer_without_an_address_is_the_local_one(engine: Engine) -> None:
    it = Gate(engine, local_peer="127.0.0.9")
    for peer in (None, "", "testclient", "/run/intake.sock"):
        client = it.authenticate(Request("GET", "/", [], peer))
        assert client.client == "127.0.0.9"
    with pytest.raises(ValueError, match="lone surrogate"):
        it.authenticate(Request("GET", "/", [("authorization", "\udcff")], PEER))


KEYS = "apm-server.auth: {api_key.enabled: true}"
API_KEY = [(b"authorization", b"ApiKey aWQ6c2VjcmV0")]


async def test_an_api_key_is_verified_while_the_loop_runs() -> None:
    engine = Engine.from_str(KEYS)
    engine.set_verifier(lambda _id, _key: ["event:write"])
    client, decision = await Gate(engine).enter_async(request(headers=API_KEY), Rule())
    assert (decision.allowed, client.method) == (True, "api_key")


def test_an_api_key_is_verified_in_the_thread_that_asks() -> None:
    engine = Engine.from_str(KEYS)
    engine.set_verifier(lambda _id, _key: ["config_agent:read"])
    assert Gate(engine).enter(request(headers=API_KEY), Rule()).decision.reason == "missing_privilege"
    assert Gate(engine).enter(request(headers=API_KEY), Rule(action="agent_config")).decision.allowed


async def test_a_gate_that_closes_lets_nobody_wait_for_a_verdict() -> None:
    engine = Engine.from_str(KEYS)
    release = threading.Event()
    asked = threading.Event()

    def slow(_id: str, _key: bytes) -> list[str]:
        asked.set()
        release.wait(30)
        return ["event:write"]

    engine.set_verifier(slow)
    it = Gate(engine)
    try:
        entering = asyncio.ensure_future(it.enter_async(request(headers=API_KEY), Rule()))
        assert await asyncio.to_thread(asked.wait, 10)
        it.close()
        client, decision = await entering
        assert (client.pending, decision.status) == (True, 503)
        assert (await it.enter_async(request(headers=API_KEY), Rule())).decision.status == 503
    finally:
        release.set()


async def test_whoever_is_cancelled_while_waiting_leaves_nothing_behind() -> None:
    engine = Engine.from_str(KEYS)
    release = threading.Event()
    engine.set_verifier(lambda _id, _key: ["event:write"] if release.wait(30) else None)
    it = Gate(engine)
    entering = asyncio.ensure_future(it.enter_async(request(headers=API_KEY), Rule()))
    await asyncio.sleep(0.05)
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    release.set()
    assert (await it.enter_async(request(headers=API_KEY), Rule())).decision.allowed


def test_the_routes_of_apm_server_ask_for_what_they_do() -> None:
    actions = {key: (rule.action, rule.rum) for key, rule in APM_RULES.items() if rule is not None}
    assert actions["POST /intake/v3/rum/events"] == ("ingest", True)
    assert actions["GET /config/v1/agents"] == ("agent_config", False)
    assert actions["POST /assets/v1/sourcemaps"] == ("sourcemap", False)


@pytest.mark.parametrize("peer", [None, "", "testclient", "/run/intake.sock", PEER])
def test_a_rule_of_fixed_arguments_and_one_that_asks_come_to_the_same(peer: str | None) -> None:
    """The former is one call into the engine, the latter is two."""
    fixed, asking = Rule(agent="rum-js", service="shop"), Rule(agent=lambda _: "rum-js", service="shop")
    outcomes = []
    for rule in (fixed, asking):
        engine = Engine.from_str(YAML)
        it = Gate(engine, local_peer="127.0.0.9", logger=None)
        seen = []
        for headers in ([], BEARER, [(b"authorization", b"Bearer wrong")], API_KEY, *[[]] * 7):
            client, decision = it.enter(Request("GET", "/", headers, peer), rule)
            seen.append((client.method, client.client, decision.status, decision.reason, decision.client))
        stats = engine.stats()
        refusals = [(it.reason, it.client, it.agent, it.service) for it in engine.recent_refusals()]
        outcomes.append((seen, stats["allowed"], stats["refused"], refusals))
    assert outcomes[0] == outcomes[1]
    assert {reason for _, _, _, reason, _ in outcomes[0][0]} >= {"allowed", "invalid_token", "rate_limited"}


def test_a_gate_of_one_rule_knows_it_beforehand(engine: Engine) -> None:
    rule = Rule(cost=2)
    assert Gate(engine, default=rule).only_rule is rule
    assert Gate(engine, default=None).only_rule is None
    for options in ({"skip": ["/a"]}, {"rules": {"/a": rule}}, {"rules": {"GET /a": rule}}, {"rules": {"/a/*": rule}}):
        assert Gate(engine, **options).only_rule is None
