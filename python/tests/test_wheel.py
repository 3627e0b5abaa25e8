"""The wheel's interface: types, immutability, argument forms, errors."""

from __future__ import annotations

import datetime
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import tollbar
from conftest import CONFIG, TOKEN, config
from tollbar import ConfigError, Engine

if TYPE_CHECKING:
    from collections.abc import Callable

PEER = "198.51.100.7"


@pytest.fixture
def engine() -> Engine:
    return Engine.from_str(CONFIG)


def test_a_valid_token_is_let_in(engine: Engine) -> None:
    decision = engine.check(f"Bearer {TOKEN}", peer=PEER)
    assert decision.allowed is True
    assert bool(decision) is True
    assert decision.status == 202
    assert decision.grpc_status == 0
    assert decision.method == "secret_token"
    assert decision.reason == "allowed"
    assert decision.retry_after is None
    assert decision.retry_after_header is None
    assert decision.remaining is None
    assert decision.wait == 0.0
    assert decision.client == PEER
    assert decision.generation == 1
    assert decision.www_authenticate is None


def test_a_wrong_token_is_401_and_never_falls_back_to_anonymous(engine: Engine) -> None:
    decision = engine.check("Bearer wrong", peer=PEER, agent="rum-js", service="my-frontend")
    assert not decision
    assert (decision.status, decision.grpc_status, decision.reason) == (401, 16, "invalid_token")
    assert decision.method is None
    assert decision.www_authenticate is not None
    assert "wrong" not in repr(decision) + decision.message


@pytest.mark.parametrize("authorization", [None, "", b"", "Bearer", "x"])
def test_no_credential_is_anonymous(engine: Engine, authorization: str | bytes | None) -> None:
    decision = engine.check(authorization, peer=PEER, agent="rum-js", service="my-frontend")
    assert decision.allowed
    assert decision.method == "anonymous"
    assert decision.remaining == 299


def test_a_refused_resource_is_named(engine: Engine) -> None:
    by_service = engine.check(peer=PEER, agent="rum-js", service='their "shop"')
    assert (by_service.status, by_service.grpc_status, by_service.reason) == (403, 7, "service_not_allowed")
    assert "their" in by_service.message
    by_agent = engine.check(peer=PEER, agent="go", service="my-frontend")
    assert by_agent.reason == "agent_not_allowed"
    assert "go" in by_agent.message


def test_the_rum_route_is_closed_while_rum_is_disabled() -> None:
    engine = Engine.from_str(config(rum=False))
    assert engine.check(f"Bearer {TOKEN}", peer=PEER, rum=True).reason == "rum_disabled"
    assert engine.check(f"Bearer {TOKEN}", peer=PEER, rum=False).allowed
    assert engine.authenticate(f"Bearer {TOKEN}", peer=PEER).rum_route().status == 403


def test_agent_configuration_is_answered_with_200_and_checks_no_agent(engine: Engine) -> None:
    decision = engine.check(peer=PEER, action="agent_config", service="my-frontend")
    assert (decision.status, decision.allowed) == (200, True)
    assert engine.check(peer=PEER, action="agent_config", service="other").status == 403


def test_source_maps_are_never_anonymous(engine: Engine) -> None:
    refused = engine.check(peer=PEER, action="sourcemap", agent="rum-js", service="my-frontend")
    assert (refused.status, refused.reason) == (403, "anonymous_not_permitted")
    assert engine.check(f"Bearer {TOKEN}", peer=PEER, action="sourcemap").allowed


def test_decisions_are_immutable_values(engine: Engine) -> None:
    one = engine.check(f"Bearer {TOKEN}", peer=PEER)
    other = engine.check(f"Bearer {TOKEN}", peer=PEER)
    assert one == other
    assert hash(one) == hash(other)
    assert one != engine.check(f"Bearer {TOKEN}", peer="198.51.100.8")
    assert one != "allowed"
    with pytest.raises(AttributeError):
        one.allowed = False  # type: ignore[misc]
    with pytest.raises(AttributeError):
        one.extra = 1  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        tollbar.Decision()
    with pytest.raises(TypeError):
        tollbar.Client()
    with pytest.raises(TypeError):
        type("Mine", (tollbar.Engine,), {})


def test_a_client_may_outlive_its_engine_object(engine: Engine) -> None:
    client = Engine.from_str(CONFIG).authenticate(peer=PEER)
    assert client.decision.allowed
    assert client.authorize("ingest", agent="rum-js", service="my-frontend").allowed
    assert client.admit(3, now=0).remaining == 297
    assert client.method == "anonymous"
    assert client.client == PEER


def test_a_refused_client_answers_every_call_with_its_refusal(engine: Engine) -> None:
    client = engine.authenticate("Bearer wrong", peer=PEER)
    assert client.method is None
    answers = [client.decision, client.rum_route(), client.authorize(), client.admit(), client.reserve(1)]
    assert [answer.status for answer in answers] == [401] * 5


def test_a_peek_charges_nothing(engine: Engine) -> None:
    client = engine.authenticate(peer=PEER)
    assert client.admit(0, now=0).remaining == 300
    assert client.admit(300, now=0).remaining == 0
    peek = client.admit(0, now=0)
    assert peek.allowed
    assert peek.remaining == 0


def test_a_reservation_says_how_long_to_sleep(engine: Engine) -> None:
    client = engine.authenticate(peer=PEER)
    assert client.admit(300, now=0).allowed
    refused = client.admit(50, now=0)
    assert (refused.status, refused.retry_after, refused.retry_after_header) == (429, 0.5, 1)
    assert client.reserve(50, max_wait=0.4, now=0).status == 429
    reserved = client.reserve(50, max_wait=1.0, now=0)
    assert (reserved.allowed, reserved.wait) == (True, 0.5)


def test_more_than_the_burst_never_fits(engine: Engine) -> None:
    decision = engine.check(peer=PEER, agent="rum-js", service="my-frontend", cost=301, now=0)
    assert (decision.status, decision.reason, decision.retry_after) == (429, "exceeds_burst", None)
    assert decision.retry_after_header is None


@pytest.mark.parametrize("n", [0, 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("now", [0, 1, 2**63, 2**64 - 1])
def test_any_n_and_any_now_of_64_bits_are_decided(engine: Engine, n: int, now: int) -> None:
    client = engine.authenticate(peer=PEER)
    assert client.admit(n, now=now).status in (202, 429)
    assert client.reserve(n, 1.0, now=now).status in (202, 429)


HEADER_FORMS: list[Any] = [
    {"Authorization": f"Bearer {TOKEN}"},
    {"AUTHORIZATION": f"Bearer {TOKEN}".encode()},
    {b"authorization": f"bearer {TOKEN}".encode()},
    [("authorization", f"Bearer {TOKEN}")],
    [(b"Authorization", f"Bearer {TOKEN}"), (b"Authorization", b"Bearer wrong")],
    [["x-other", "1"], ["authorization", f"Bearer {TOKEN}"]],
    (("authorization", f"Bearer {TOKEN}"),),
    iter([("authorization", f"Bearer {TOKEN}")]),
]


@pytest.mark.parametrize("headers", HEADER_FORMS, ids=range(len(HEADER_FORMS)))
def test_headers_come_as_mapping_or_pairs_str_or_bytes_in_any_case(engine: Engine, headers: Any) -> None:
    assert engine.check(headers=headers, peer=PEER).method == "secret_token"


def test_an_argument_wins_over_the_headers(engine: Engine) -> None:
    headers = {"Authorization": "Bearer wrong"}
    assert engine.check(f"Bearer {TOKEN}", peer=PEER, headers=headers).allowed


def test_other_mappings_are_read_as_mappings() -> None:
    from collections import ChainMap

    engine = Engine.from_str(CONFIG)
    assert engine.check(peer=PEER, headers=ChainMap({"authorization": f"Bearer {TOKEN}"})).allowed


def test_str_headers_go_back_to_the_bytes_of_the_wire() -> None:
    engine = Engine.from_str("apm-server.auth.secret_token: tökén-of-a-kind")
    wire = "Bearer tökén-of-a-kind".encode()
    assert engine.check(wire, peer=PEER).allowed
    assert engine.check(wire.decode("latin-1"), peer=PEER).allowed
    japanese = Engine.from_str("apm-server.auth.secret_token: 秘密の言葉")
    assert japanese.check("Bearer 秘密の言葉", peer=PEER).allowed


def test_forwarding_headers_are_believed_from_trusted_proxies_only() -> None:
    engine = Engine.from_str(config(extra="tollbar.trusted_proxies: [10.0.0.0/8]\n"))
    headers = [(b"x-forwarded-for", b"203.0.113.9, 10.0.0.2")]
    assert engine.check(peer="10.0.0.1", headers=headers).client == "203.0.113.9"
    assert engine.check(peer="198.51.100.7", headers=headers).client == "198.51.100.7"


@pytest.mark.parametrize(
    ("peer", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9:1234", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::1]:443", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::ffff:cb00:7109", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_peer_is_what_a_socket_reports(engine: Engine, peer: str, client: str) -> None:
    assert engine.check(peer=peer).client == client


@pytest.mark.parametrize("peer", ["", "localhost", "1.2.3", "999.1.1.1", "\ud800"])
def test_a_peer_that_is_no_address_is_a_value_error(engine: Engine, peer: str) -> None:
    with pytest.raises(ValueError, match=r"^peer: .*accepted"):
        engine.check(peer=peer)


@pytest.mark.parametrize("name", ["\ud800", "rum-js\udfff"])
def test_a_name_with_a_lone_surrogate_is_refused_like_any_other(engine: Engine, name: str) -> None:
    by_agent = engine.check(peer=PEER, agent=name, service="my-frontend")
    assert (by_agent.status, by_agent.reason) == (403, "agent_not_allowed")
    assert "\ufffd" in by_agent.message
    client = engine.authenticate(peer=PEER)
    assert client.authorize(agent="rum-js", service=name).reason == "service_not_allowed"
    assert client.check(agent=name, service="my-frontend").reason == "agent_not_allowed"
    assert engine.check(f"Bearer {TOKEN}", peer=PEER, agent=name, service=name).allowed


@pytest.mark.parametrize("name", ["a" * 100_000, "\u20ac" * 50_000, "\ud800" * 50_000])
def test_a_refusal_quotes_the_start_of_a_name_only(engine: Engine, name: str) -> None:
    for decision in (
        engine.check(peer=PEER, agent=name, service="my-frontend"),
        engine.authenticate(peer=PEER).authorize(agent="rum-js", service=name),
    ):
        assert decision.status == 403
        assert len(decision.message.encode()) < 200
    assert engine.check(peer=PEER, agent="go", service="my-frontend").message.endswith(': "go"')


def test_live_counters_are_counted_at_the_callers_now(engine: Engine) -> None:
    now = 10**18
    assert engine.check(peer=PEER, agent="rum-js", service="my-frontend", now=now).allowed
    assert engine.stats(now=now)["live_counters"] == 1
    assert engine.stats(now=now + 3600 * 10**9)["live_counters"] == 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"authorization": 5}, TypeError, "authorization: found a int; accepted are str and bytes"),
        ({"authorization": "Bearer \ud800"}, ValueError, "lone surrogate"),
        ({"headers": 5}, TypeError, "headers: found a int"),
        ({"headers": "authorization: x"}, TypeError, "headers: found a str"),
        ({"headers": ["ab"]}, TypeError, "item 0 is a str"),
        ({"headers": [("a", "b", "c")]}, TypeError, "item 0"),
        ({"headers": [("a", None)]}, TypeError, "NoneType"),
        ({"headers": {1: "b"}}, TypeError, "a header's name"),
        ({"action": "delete"}, ValueError, '"delete"; accepted are "ingest"'),
        ({"cost": -1}, ValueError, "cost: found -1"),
        ({"cost": 2**64}, ValueError, "cost: found"),
        ({"cost": "3"}, TypeError, "cost: found '3'"),
        ({"cost": 1.5}, TypeError, "cost: found 1.5"),
        ({"now": -1}, ValueError, "now: found -1"),
        ({"now": 0.5}, TypeError, "now: found 0.5"),
        ({"action": "\ud800" + "x" * 10**6}, ValueError, 'accepted are "ingest"'),
        ({"action": 7}, TypeError, "^action: found a int; accepted is a str"),
        ({"action": None}, TypeError, "^action: found a NoneType; accepted is a str"),
        ({"agent": 7}, TypeError, "^agent: found a int; accepted is a str"),
        ({"service": b"x"}, TypeError, "^service: found a bytes; accepted is a str"),
        ({"peer": 7}, TypeError, "^peer: found a int; accepted is a str"),
        ({"peer": None}, TypeError, "^peer: found a NoneType; accepted is a str"),
        ({"nonsense": 7}, TypeError, "nonsense"),
    ],
)
def test_bad_arguments_are_named(engine: Engine, arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        engine.check(**{"peer": PEER, **arguments})
    assert "Bearer" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("max_wait", [-1.0, float("nan"), float("inf")])
def test_a_wait_is_finite_and_not_negative(engine: Engine, max_wait: float) -> None:
    with pytest.raises(ValueError, match="max_wait"):
        engine.authenticate(peer=PEER).reserve(1, max_wait=max_wait)


BAD = """\
apm-server:
  auth:
    secret_tokn: do-not-show-me
    anonymous.rate_limit.event_limit: -3
tollbar.ipv6_prefix: 129
"""


def test_a_configuration_error_names_every_problem(tmp_path: Path) -> None:
    file = tmp_path / "bad.yml"
    file.write_text(BAD)
    with pytest.raises(ConfigError) as caught:
        Engine.from_file(file)
    problems = caught.value.problems
    assert len(problems) == 3
    assert [problem.line for problem in problems] == [3, 4, 5]
    assert all(problem.file == str(file) and problem.column for problem in problems)
    assert problems[0].key == "apm-server.auth.secret_tokn"
    assert "secret_token" in problems[0].message
    assert problems[1].found is not None
    assert "-3" in problems[1].found
    assert problems[1].accepted
    assert all(problem.message in str(caught.value) for problem in problems)
    assert "do-not-show-me" not in str(caught.value) + repr(problems)


def test_a_missing_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.yml"):
        Engine.from_file(str(tmp_path / "missing.yml"))


def test_reload_takes_the_same_file_again(tmp_path: Path) -> None:
    file = tmp_path / "tollbar.yml"
    file.write_text(CONFIG)
    engine = Engine.from_file(file)
    file.write_text(CONFIG.replace(TOKEN, "another-token"))
    assert engine.reload() == 2
    assert engine.check("Bearer another-token", peer=PEER).generation == 2
    assert not engine.check(f"Bearer {TOKEN}", peer=PEER)


def test_reload_takes_another_file_or_text(tmp_path: Path) -> None:
    engine = Engine.from_str(CONFIG)
    file = tmp_path / "other.yml"
    file.write_text("apm-server.auth.secret_token: from-a-file\n")
    engine.reload(file)
    assert engine.check("Bearer from-a-file", peer=PEER).allowed
    engine.reload("apm-server.auth.secret_token: from-text")
    assert engine.check("Bearer from-text", peer=PEER).allowed
    engine.reload(str(file))
    assert engine.check("Bearer from-a-file", peer=PEER).allowed
    with pytest.raises(ConfigError, match=r"gone\.yml"):
        engine.reload(str(tmp_path / "gone.yml"))


def test_reload_without_a_file_says_so() -> None:
    with pytest.raises(ConfigError, match="file"):
        Engine.from_str(CONFIG).reload()


def test_a_refused_reload_leaves_the_old_configuration_in_force(tmp_path: Path) -> None:
    engine = Engine.from_str(CONFIG)
    with pytest.raises(ConfigError):
        engine.reload(BAD)
    assert engine.check(f"Bearer {TOKEN}", peer=PEER).generation == 1
    assert engine.stats()["reload_errors"] == 1


def test_statistics_count_decisions_by_method_and_reason(engine: Engine) -> None:
    engine.check(f"Bearer {TOKEN}", peer=PEER)
    engine.check("Bearer wrong", peer=PEER)
    engine.check("Bearer wrong", peer=PEER)
    engine.check(peer=PEER, agent="rum-js", service="my-frontend")
    stats = engine.stats()
    assert stats["generation"] == 1
    assert stats["allowed"]["secret_token"] == 1
    assert stats["allowed"]["anonymous"] == 1
    assert stats["refused"]["invalid_token"] == 2
    assert stats["ip_limit"] == 100
    assert stats["live_counters"] == 1
    assert TOKEN not in repr(stats)


def test_deprecated_keys_warn() -> None:
    engine = Engine.from_str(f"apm-server.secret_token: {TOKEN}\n")
    assert engine.check(f"Bearer {TOKEN}", peer=PEER).allowed
    (warning,) = engine.warnings
    assert "apm-server.auth.secret_token" in warning
    assert TOKEN not in warning
    assert Engine.from_str(CONFIG).warnings == []


def test_no_authentication_warns_and_says_what_to_set() -> None:
    (warning,) = Engine.from_str("apm-server.auth.secret_token: ~\n").warnings
    assert warning.startswith("configuration:1:1: apm-server.auth.secret_token: no authentication is configured: ")
    (warning,) = Engine.from_str("apm-server.auth.anonymous.enabled: true\n").warnings
    assert "apm-server.auth.anonymous.enabled: has no effect, as no authentication is configured" in warning
    assert "set `apm-server.auth.secret_token`" in warning


def test_origins_of_pages() -> None:
    engine = Engine.from_str(CONFIG + 'apm-server.rum.allow_origins: "https://*.shop.example, null"\n')
    for origin in ("https://a.shop.example", b"https://a.shop.example", "null"):
        assert engine.allows_origin(origin)
    for other in ("https://shop.example", b"\xff", "", None):
        assert not engine.allows_origin(other)
    assert engine.allow_headers == []
    assert Engine.from_str(CONFIG).allows_origin(None)
    with pytest.raises(TypeError, match="origin: found a int; accepted are str and bytes"):
        engine.allows_origin(1)  # type: ignore[arg-type]


def test_reprs_hold_no_secret(engine: Engine) -> None:
    client = engine.authenticate(f"Bearer {TOKEN}", peer=PEER)
    assert TOKEN not in repr(engine) + repr(client) + repr(client.decision)
    assert "secret_token" in repr(client)


def test_threads_share_one_engine_and_one_counter() -> None:
    engine = Engine.from_str(config(event_limit=1000))
    admitted: list[int] = []

    def send() -> None:
        client = engine.authenticate(peer=PEER)
        admitted.append(sum(client.admit(1, now=0).allowed for _ in range(2000)))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(admitted) == 3000


def test_the_package_says_its_version_and_its_names() -> None:
    assert tollbar.__version__
    assert all(hasattr(tollbar, name) for name in tollbar.__all__)
    assert (Path(tollbar.__file__).parent / "py.typed").exists()


def test_recent_refusals_say_who_when_and_why(engine: Engine) -> None:
    before = datetime.datetime.now(datetime.UTC)
    engine.check("Bearer wrong", peer=PEER)
    engine.check(peer=PEER, agent="rum-js", service='their "shop"' + "x" * 100)
    engine.check(f"Bearer {TOKEN}", peer=PEER)
    by_token, by_service = engine.recent_refusals()
    assert before <= by_token.time <= datetime.datetime.now(datetime.UTC)
    assert by_token.time.tzinfo == datetime.UTC
    assert (by_token.reason, by_token.method, by_token.client) == ("invalid_token", None, PEER)
    assert (by_token.agent, by_token.service, by_token.credential_id) == (None, None, None)
    assert (by_service.reason, by_service.method, by_service.agent) == ("service_not_allowed", "anonymous", "rum-js")
    assert by_service.service is not None
    assert len(by_service.service) == 64
    assert (by_service.action, by_service.generation) == ("ingest", 1)
    assert r"\"shop\"" in repr(by_service)
    assert "wrong" not in repr(engine.recent_refusals())
    assert len(engine.recent_refusals()) == 2


def test_refusals_of_a_flood_are_bounded_and_counted(engine: Engine) -> None:
    for _ in range(1000):
        engine.check("Bearer wrong", peer=PEER)
    recorded = len(engine.recent_refusals())
    assert recorded <= 64
    stats = engine.stats()
    assert stats["refused"]["invalid_token"] == 1000
    assert stats["refusals_not_recorded"] >= 1000 - 64


def test_statistics_hold_the_history_of_reloads(engine: Engine) -> None:
    engine.reload(CONFIG.replace(TOKEN, "another-token"))
    with pytest.raises(ConfigError):
        engine.reload(BAD)
    taken, refused = engine.stats()["reloads"]
    assert taken["time"] <= refused["time"] <= datetime.datetime.now(datetime.UTC)
    assert (taken["generation"], taken["changed"], taken["problems"]) == (2, ["apm-server.auth.secret_token"], [])
    assert (refused["generation"], refused["changed"], refused["problem_count"]) == (2, None, 3)
    assert [problem.line for problem in refused["problems"]] == [3, 4, 5]
    assert "another-token" not in repr(engine.stats())


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_watcher_takes_up_changes_until_it_is_stopped(tmp_path: Path) -> None:
    file = tmp_path / "tollbar.yml"
    file.write_text(CONFIG)
    engine = Engine.from_file(file)
    with engine.watch(debounce=0.02, poll=0.1) as watcher:
        file.write_text(CONFIG.replace(TOKEN, "another-token"))
        wait_for(lambda: engine.check("Bearer another-token", peer=PEER).allowed)
        file.write_text(BAD)
        wait_for(lambda: engine.stats()["reload_errors"] == 1)
        assert engine.check("Bearer another-token", peer=PEER).generation == 2
    watcher.stop()
    file.write_text(CONFIG)
    time.sleep(0.3)
    assert engine.check("Bearer another-token", peer=PEER).generation == 2


def test_a_watcher_that_nobody_refers_to_watches_no_more(tmp_path: Path) -> None:
    file = tmp_path / "tollbar.yml"
    file.write_text(CONFIG)
    engine = Engine.from_file(file)
    engine.watch(debounce=0.02, poll=0.1)
    file.write_text(CONFIG.replace(TOKEN, "another-token"))
    time.sleep(0.3)
    assert engine.stats()["generation"] == 1


def test_what_cannot_be_watched_is_said(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no file to watch"):
        engine.watch()
    with pytest.raises(ValueError, match="debounce: found -1"):
        engine.watch(debounce=-1)
    with pytest.raises(ValueError, match="poll: found NaN"):
        engine.watch(poll=float("nan"))
    file = tmp_path / "tollbar.yml"
    file.write_text(CONFIG)
    Engine.from_file(file).watch(debounce=1e19, poll=1e19).stop()


class _Text(str):
    """Not the type itself."""


def test_subclasses_of_str_are_texts(engine: Engine) -> None:
    credential = _Text(f"Bearer {TOKEN}")
    assert engine.check(credential, peer=_Text(PEER), action=_Text("ingest")).method == "secret_token"  # type: ignore[arg-type]
    assert engine.check(peer=PEER, agent=_Text("rum-js"), service=_Text("my-frontend")).allowed
    assert "theirs" in engine.check(peer=PEER, agent="rum-js", service=_Text("theirs")).message
    headers = [(_Text("Authorization"), credential)]
    assert engine.authenticate(peer=PEER, headers=headers).method == "secret_token"


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 100])
def test_the_credential_is_found_among_any_number_of_headers(engine: Engine, count: int) -> None:
    others = [(b"x-%d" % number, b"x") for number in range(count)]
    headers = [*others, (b"authorization", f"Bearer {TOKEN}".encode())]
    assert engine.authenticate(peer=PEER, headers=headers).method == "secret_token"
    assert engine.authenticate(peer=PEER, headers=others).method == "anonymous"


ENTRIES: dict[str, dict[str, Any]] = {
    "token": {"authorization": f"Bearer {TOKEN}"},
    "wrong token": {"headers": [(b"authorization", b"Bearer wrong")]},
    "unknown scheme": {"authorization": "Basic eDp5", "rum": True},
    "pending": {"headers": {"Authorization": "ApiKey aWQ6c2VjcmV0"}},
    "anonymous": {"agent": "rum-js", "service": "shop", "cost": 2},
    "another service": {"agent": "rum-js", "service": "theirs"},
    "sourcemap": {"action": "sourcemap", "agent": "rum-js", "service": "shop"},
    "RUM is closed": {"agent": "rum-js", "service": "shop", "rum": True, "cost": 0},
    "too much": {"agent": "rum-js", "service": "shop", "cost": 1000},
    "rate limit": {"agent": "rum-js", "service": "shop", "cost": 5},
}


def test_enter_is_authenticate_and_check() -> None:
    yaml = f"""
apm-server.auth:
  secret_token: {TOKEN}
  api_key.enabled: true
  anonymous: {{enabled: true, allow_service: [shop], rate_limit: {{ip_limit: 10, event_limit: 2}}}}
"""
    steps, whole = Engine.from_str(yaml), Engine.from_str(yaml)
    for engine in (steps, whole):
        engine.set_verifier(lambda _id, _key: None)
    for number, (name, arguments) in enumerate([*ENTRIES.items()] * 2):
        request: dict[str, Any] = {"peer": PEER, "now": 1000 + number}
        question = dict(arguments)
        for key in ("authorization", "headers"):
            if key in question:
                request[key] = question.pop(key)
        before = steps.authenticate(**request)
        expected = before.check(**question, now=request["now"]) if before.allowed else before.decision
        client, decision = whole.enter(**request, **question)
        assert decision == expected, name
        assert (decision.message, repr(client)) == (expected.message, repr(before))
        assert (client.pending, client.client) == (name == "pending", PEER)
        assert client.admit(0, now=request["now"]) == before.admit(0, now=request["now"])
    of_steps, of_whole = steps.stats(now=2000), whole.stats(now=2000)
    for key in ("allowed", "refused", "refusals_not_recorded", "live_counters"):
        assert of_whole[key] == of_steps[key]  # type: ignore[literal-required]
    assert of_whole["refused"]["pending"] == 4  # two of `admit`
    recorded = [
        [(it.reason, it.client, it.agent, it.service, it.credential_id) for it in engine.recent_refusals()]
        for engine in (steps, whole)
    ]
    assert recorded[0] == recorded[1] != []


def test_enter_charges_nothing_if_it_raises(engine: Engine) -> None:
    for wrong in ({"peer": "x"}, {"cost": -1}, {"action": "x"}, {"agent": 1}, {"headers": 1}, {"now": -1}):
        with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
            engine.enter(**{"peer": PEER, **wrong})  # type: ignore[arg-type]
    assert sum(engine.stats()["allowed"].values()) == 0
