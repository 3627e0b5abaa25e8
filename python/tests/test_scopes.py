"""`Engine.enter_scope`: as `enter`, about an ASGI scope, and nothing that is rare is asked about."""

from __future__ import annotations

import pickle
import re
from collections import UserDict
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import TOKEN, YAML
from tollbar import Client, Engine, Question
from tollbar.http import Rule

PROXIED = YAML.replace("allow_agent: []", "allow_service: [shop]") + "tollbar.trusted_proxies: [10.0.0.0/8]"
LOCAL = "127.0.0.1"
SHOP = Question(agent="rum-js", service="shop")
BY_TOKEN = (b"authorization", f"Bearer {TOKEN}".encode())


def scope_of(*headers: tuple[bytes, bytes], **changed: Any) -> dict[str, Any]:
    return {"type": "http", "client": ("203.0.113.9", 1234), "headers": list(headers), **changed}


@pytest.fixture
def engine() -> Engine:
    return Engine.from_str(PROXIED)


def asked(engine: Engine) -> int:
    stats = engine.stats()
    return sum(stats["allowed"].values()) + sum(stats["refused"].values())


def test_an_application_finds_its_client(engine: Engine) -> None:
    scope = scope_of(BY_TOKEN, path="/events")
    before = dict(scope)
    entered = engine.enter_scope(SHOP, LOCAL, scope)
    assert isinstance(entered, dict)
    client = entered["tollbar"]
    assert isinstance(client, Client)
    assert client.method == "secret_token"
    assert entered == {**scope, "tollbar": client, "state": {"tollbar": client}}
    assert scope == before


@pytest.mark.parametrize("state", [{"theirs": 1}, UserDict({"theirs": 1})])
def test_a_state_is_shared(engine: Engine, state: Any) -> None:
    scope = scope_of(BY_TOKEN, state=state)
    entered = engine.enter_scope(SHOP, LOCAL, scope)
    assert isinstance(entered, dict)
    assert entered["state"] is state
    assert dict(state) == {"theirs": 1, "tollbar": entered["tollbar"]}


def test_a_refusal_is_the_client_and_the_decision(engine: Engine) -> None:
    scope = scope_of((b"authorization", b"Bearer wrong"))
    entered = engine.enter_scope(SHOP, LOCAL, scope)
    assert isinstance(entered, tuple)
    client, decision = entered
    assert (client.allowed, decision.allowed, decision.reason) == (False, False, "invalid_token")
    assert scope == scope_of((b"authorization", b"Bearer wrong"))
    theirs = engine.enter_scope(Question(agent="rum-js", service="theirs"), LOCAL, scope_of())
    assert isinstance(theirs, tuple)
    assert (theirs[0].allowed, theirs[1].reason) == (True, "service_not_allowed")
    assert "theirs" in theirs[1].message


def test_a_key_that_has_to_be_verified_is_pending(engine: Engine) -> None:
    engine.set_verifier(lambda _id, _key: ["event:write"])
    entered = engine.enter_scope(SHOP, LOCAL, scope_of((b"authorization", b"ApiKey aWQ6c2VjcmV0")))
    assert isinstance(entered, tuple)
    assert entered[0].pending
    assert entered[1].pending


def test_whoever_comes_without_an_address_is_local(engine: Engine) -> None:
    for scope in (scope_of(client=None), {"type": "http", "headers": []}):
        entered = engine.enter_scope(SHOP, "10.0.0.1", scope)
        assert isinstance(entered, dict)
        assert entered["tollbar"].client == "10.0.0.1"
    forwarded = engine.enter_scope(SHOP, "10.0.0.1", scope_of((b"x-forwarded-for", b"2001:db8::1"), client=None))
    assert isinstance(forwarded, dict)
    assert forwarded["tollbar"].client == "2001:db8::/64"


@pytest.mark.parametrize(
    "scope",
    [
        scope_of(BY_TOKEN, type="websocket"),
        {"type": "lifespan"},
        {},
        UserDict(scope_of(BY_TOKEN)),
        scope_of(BY_TOKEN, type=b"http"),
        scope_of(BY_TOKEN, client=("testclient", 1)),
        scope_of(BY_TOKEN, client=()),
        scope_of(BY_TOKEN, client=["203.0.113.9", 1]),
        scope_of(BY_TOKEN, client=(1, 1)),
        scope_of(BY_TOKEN, headers=(BY_TOKEN,)),
        scope_of(BY_TOKEN, headers=[list(BY_TOKEN)]),
        scope_of(BY_TOKEN, headers=[("authorization", f"Bearer {TOKEN}")]),
        scope_of(BY_TOKEN, headers=[(b"a", b"b", b"c")]),
        scope_of(*[(b"x", b"y")] * 33, BY_TOKEN),
        {"type": "http", "client": ("203.0.113.9", 1)},
    ],
)
def test_nothing_is_asked_about_a_scope_that_is_none_of_those(engine: Engine, scope: Any) -> None:
    before = asked(engine)
    assert engine.enter_scope(SHOP, LOCAL, scope) is None
    assert asked(engine) == before


def test_a_state_that_is_none_is_made(engine: Engine) -> None:
    entered = engine.enter_scope(SHOP, LOCAL, scope_of(BY_TOKEN, state=None))
    assert isinstance(entered, dict)
    assert entered["state"] == {"tollbar": entered["tollbar"]}


def test_a_state_that_takes_nothing_is_an_error(engine: Engine) -> None:
    with pytest.raises(TypeError):
        engine.enter_scope(SHOP, LOCAL, scope_of(BY_TOKEN, state=1))


names = st.sampled_from([b"authorization", b"Authorization", b"x-forwarded-for", b"x-real-ip", b"host", b""])
values = st.one_of(
    st.sampled_from([BY_TOKEN[1], b"Bearer wrong", b"bearer", b"", b"ApiKey aWQ6c2VjcmV0", b"10.0.0.7", b"192.0.2.1"]),
    st.binary(max_size=40),
)
requests = st.tuples(
    st.lists(st.tuples(names, values), max_size=6),
    st.sampled_from(["203.0.113.9", "10.0.0.1", "2001:db8::1", "::ffff:10.0.0.1"]),
    st.sampled_from(["shop", "theirs", None]),
    st.integers(0, 3),
    st.booleans(),
)


@given(requests=st.lists(requests, min_size=1, max_size=8))
def test_it_decides_and_charges_as_enter_does(requests: list[Any]) -> None:
    # An event a second: nothing comes back while this runs.
    by_parts, by_scope = Engine.from_str(PROXIED), Engine.from_str(PROXIED)
    for headers, peer, service, cost, rum in requests:
        client, decision = by_parts.enter(None, peer, headers, "ingest", "rum-js", service, cost, None, rum)
        question = Question("ingest", "rum-js", service, cost, rum)
        entered = by_scope.enter_scope(question, LOCAL, scope_of(*headers, client=(peer, 1)))
        assert isinstance(entered, dict) == decision.allowed
        if isinstance(entered, tuple):
            assert (entered[1].reason, entered[1].message) == (decision.reason, decision.message)
        assert entered is not None
        theirs = entered["tollbar"] if isinstance(entered, dict) else entered[0]
        assert isinstance(theirs, Client)
        assert (theirs.method, theirs.client, theirs.decision) == (client.method, client.client, client.decision)
        assert theirs.admit(0).remaining == client.admit(0).remaining
    for part in ("allowed", "refused", "live_counters"):
        assert by_scope.stats()[part] == by_parts.stats()[part]


def test_a_question_can_be_copied_and_sent() -> None:
    for question in (Question(), Question("sourcemap", None, "shop", 2**64 - 1, True)):
        for copy in (pickle.loads(pickle.dumps(question)), deepcopy(question)):
            assert (copy, hash(copy), repr(copy)) == (question, hash(question), repr(question))
    assert Question() != Question(rum=True)
    assert repr(Question(agent="rum-js")) == "Question('ingest', 'rum-js', None, 1, False)"
    rule = Rule(service="shop", cost=2)
    assert pickle.loads(pickle.dumps(rule)).question == deepcopy(rule).question == rule.question


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"action": "delete"}, ValueError, 'action: found "delete"; accepted are "ingest"'),
        ({"action": 1}, TypeError, "action: found a int; accepted is a str"),
        ({"agent": b"rum-js"}, TypeError, "agent: found a bytes; accepted is a str"),
        ({"service": 1}, TypeError, "service: found a int; accepted is a str"),
        ({"cost": -1}, ValueError, "cost: found -1; accepted is a whole number of events"),
        ({"cost": "1"}, TypeError, "cost: found '1'; accepted is a whole number of events"),
    ],
)
def test_a_bad_question_is_named_when_it_is_made(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        Question(**arguments)
