"""API keys through the wheel: waiting for verdicts, verifiers of the embedder's own, keys that are made."""

from __future__ import annotations

import asyncio
import base64
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import tollbar
from elasticsearch import PRIVILEGES, Elasticsearch
from tollbar import Client, Engine

if TYPE_CHECKING:
    from collections.abc import Iterator

PEER = "198.51.100.7"
ENABLED = "apm-server.auth.api_key.enabled: true"
GOOD = base64.b64encode(b"ci:correct-horse-battery").decode()
BAD = base64.b64encode(b"ci:a-wrong-secret-indeed").decode()
SECRETS = ("correct-horse", "a-wrong-secret", GOOD, BAD)


def header(credential: str) -> str:
    return f"ApiKey {credential}"


def outcome(client: Client) -> tuple[int, str]:
    return client.decision.status, client.decision.reason


@pytest.fixture
def elasticsearch() -> Iterator[Elasticsearch]:
    with Elasticsearch() as one:
        one.keys[GOOD] = ["event:write"]
        yield one
        assert not one.wrong


@pytest.fixture
def engine(elasticsearch: Elasticsearch) -> Engine:
    return Engine.from_str(elasticsearch.config())


def test_an_unknown_key_is_pending_until_it_is_verified(engine: Engine, elasticsearch: Elasticsearch) -> None:
    decision = engine.check(header(GOOD), peer=PEER)
    assert (decision.pending, decision.allowed, decision.status, decision.grpc_status) == (True, False, 503, 14)
    assert outcome(engine.authenticate(header(GOOD), peer=PEER)) == (503, "pending")
    assert elasticsearch.asked == []
    client = engine.verify(header(GOOD), peer=PEER)
    assert (client.decision.allowed, client.decision.pending, client.method) == (True, False, "api_key")
    assert engine.check(header(GOOD), peer=PEER).allowed
    assert elasticsearch.asked == [GOOD]


def test_a_key_may_do_what_its_privileges_say(engine: Engine) -> None:
    client = engine.verify(headers=[(b"authorization", header(GOOD).encode())], peer=PEER)
    assert client.authorize("ingest", agent="go", service="any").allowed
    assert client.authorize("sourcemap").reason == "missing_privilege"
    refused = client.check("agent_config", service="any")
    assert (refused.status, refused.reason, refused.method) == (403, "missing_privilege", "api_key")
    assert client.check(agent="go", service="any", cost=10**9).allowed


def test_a_wrong_key_is_401_and_is_asked_about_once_a_minute(engine: Engine, elasticsearch: Elasticsearch) -> None:
    assert [outcome(engine.verify(header(BAD), peer=PEER)) for _ in range(3)] == [(401, "invalid_api_key")] * 3
    assert elasticsearch.asked == [BAD]
    assert outcome(engine.verify(header("not*base64"), peer=PEER)) == (401, "invalid_api_key")
    assert outcome(engine.verify("Bearer x", peer=PEER)) == (401, "invalid_token")
    assert outcome(engine.verify(peer=PEER)) == (401, "missing_credential")


def test_what_elasticsearch_cannot_say_is_503_and_not_cached(engine: Engine, elasticsearch: Elasticsearch) -> None:
    elasticsearch.status = 500
    assert outcome(engine.verify(header(GOOD), peer=PEER)) == (503, "unavailable")
    assert engine.stats()["api_keys"]["last_error"]
    elasticsearch.status = None
    assert engine.verify(header(GOOD), peer=PEER).decision.allowed
    assert engine.stats()["api_keys"] | {"last_error": None} == {
        "started": 2,
        "unavailable": 1,
        "over_budget": 0,
        "last_error": None,
        "valid_held": 1,
        "invalid_held": 0,
    }


def test_a_time_out_leaves_the_client_pending(engine: Engine, elasticsearch: Elasticsearch) -> None:
    elasticsearch.delay = 0.5
    started = time.monotonic()
    assert outcome(engine.verify(header(GOOD), peer=PEER, timeout=0.05)) == (503, "pending")
    assert time.monotonic() - started < 0.4
    assert engine.verify(header(GOOD), peer=PEER, timeout=10).decision.allowed
    assert elasticsearch.asked == [GOOD]
    with pytest.raises(ValueError, match="timeout: found -1"):
        engine.verify(header(GOOD), peer=PEER, timeout=-1)


def test_the_configured_time_out_ends_a_verification(elasticsearch: Elasticsearch) -> None:
    engine = Engine.from_str(elasticsearch.config(timeout="200ms"))
    assert engine.verification_timeout == 0.2
    elasticsearch.delay = 1.0
    assert outcome(engine.verify(header(GOOD), peer=PEER)) == (503, "unavailable")


def test_waiting_holds_up_no_other_thread(engine: Engine, elasticsearch: Elasticsearch) -> None:
    elasticsearch.delay = 0.3
    waiting = threading.Thread(target=engine.verify, args=(header(GOOD), PEER))
    waiting.start()
    turns = 0
    while waiting.is_alive():
        turns += engine.check("Bearer x", peer=PEER).status == 401
    waiting.join()
    assert turns > 1000


async def test_async_waiting_blocks_no_loop_and_asks_once(engine: Engine, elasticsearch: Elasticsearch) -> None:
    elasticsearch.delay = 0.3
    waiting = [engine.verify_async(header(GOOD), peer=PEER) for _ in range(50)]
    ticks = 0
    while not all(one.done() for one in waiting):
        ticks += 1
        await asyncio.sleep(0.01)
    assert ticks > 5
    assert all(client.decision.allowed for client in await asyncio.gather(*waiting))
    assert elasticsearch.asked == [GOOD]
    assert (await engine.verify_async(header(GOOD), peer=PEER)).method == "api_key"
    assert outcome(await engine.verify_async(peer=PEER)) == (401, "missing_credential")
    assert outcome(await engine.verify_async(header(BAD), peer=PEER)) == (401, "invalid_api_key")


async def test_who_stops_waiting_gets_nothing_and_others_do(engine: Engine, elasticsearch: Elasticsearch) -> None:
    elasticsearch.delay = 0.3
    headers = {"authorization": header(GOOD)}
    patient = engine.verify_async(headers=headers, peer=PEER)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(engine.verify_async(headers=headers, peer=PEER), 0.05)
    assert (await patient).decision.allowed
    await asyncio.sleep(0.05)


def test_a_loop_that_is_gone_is_not_waited_for(engine: Engine, elasticsearch: Elasticsearch) -> None:
    elasticsearch.delay = 0.2

    async def leave() -> None:
        engine.verify_async(header(GOOD), peer=PEER)

    asyncio.run(leave())
    assert engine.verify(header(GOOD), peer=PEER).decision.allowed


def test_async_waiting_needs_a_running_loop(engine: Engine) -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        engine.verify_async(header(GOOD), peer=PEER)


def own(verifier: Any, **options: Any) -> Engine:
    engine = Engine.from_str(ENABLED)
    engine.set_verifier(verifier, **options)
    return engine


def directory(name: str, key: bytes) -> list[str] | None:
    return ["event:write", "sourcemap:write"] if (name, key) == ("ci", b"correct-horse-battery") else None


def test_a_verifier_of_the_embedders_own_decides() -> None:
    engine = own(directory)
    client = engine.verify(header(GOOD), peer=PEER)
    assert client.authorize("sourcemap").allowed
    assert client.authorize("agent_config", service="x").reason == "missing_privilege"
    assert outcome(engine.verify(header(BAD), peer=PEER)) == (401, "invalid_api_key")
    engine.set_verifier(None)
    assert outcome(engine.verify(header(GOOD), peer=PEER)) == (401, "invalid_api_key")


@pytest.mark.parametrize("answer", [None, [], (), set(), iter([])])
def test_no_privilege_is_no_valid_key(answer: Any) -> None:
    assert outcome(own(lambda _id, _key: answer).verify(header(GOOD), peer=PEER)) == (401, "invalid_api_key")


@pytest.mark.parametrize("answer", [("event:write",), {"event:write": 1}, iter(PRIVILEGES), frozenset(PRIVILEGES)])
def test_privileges_are_any_iterable_of_names(answer: Any) -> None:
    assert own(lambda _id, _key: answer).verify(header(GOOD), peer=PEER).authorize("ingest").allowed


@pytest.mark.parametrize("answer", ["event:write", b"event:write", True, 5, ["event:wrote"], [5], ["\ud800"]])
def test_an_answer_of_another_form_is_unavailable(answer: Any) -> None:
    engine = own(lambda _id, _key: answer)
    assert outcome(engine.verify(header(GOOD), peer=PEER)) == (503, "unavailable")
    said = engine.stats()["api_keys"]["last_error"]
    assert said is not None
    assert said.startswith("the verifier returned something else than None or an iterable of the names of privileges")


def test_an_answer_that_raises_while_it_is_read_has_raised() -> None:
    def names() -> Iterator[str]:
        yield "event:write"
        raise LookupError

    engine = own(lambda _id, _key: names())
    assert outcome(engine.verify(header(GOOD), peer=PEER)) == (503, "unavailable")
    assert engine.stats()["api_keys"]["last_error"] == "the verifier raised LookupError"


MINUTE = 60 * 10**9


@pytest.mark.parametrize("now", [0, 10**18])
async def test_a_verdict_holds_from_the_callers_now(now: int) -> None:
    engine = own(lambda _id, _key: ["event:write"])
    assert engine.verify(header(GOOD), peer=PEER, now=now).decision.allowed
    assert engine.check(header(GOOD), peer=PEER, now=now).allowed
    assert engine.authenticate(header(GOOD), peer=PEER, now=now + MINUTE - 10**6).decision.allowed
    later = now + MINUTE + 10**6
    assert engine.authenticate(header(GOOD), peer=PEER, now=later).decision.pending
    assert (await engine.verify_async(header(GOOD), peer=PEER, now=later)).decision.allowed
    assert engine.check(header(GOOD), peer=PEER, now=later + MINUTE - 10**6).allowed


def test_a_wait_that_is_cut_short_is_pending_at_the_callers_now() -> None:
    go = threading.Event()
    engine = own(lambda _id, _key: ["event:write"] if go.wait(10) else None)
    assert engine.verify(header(GOOD), peer=PEER, timeout=0.05, now=10**18).decision.pending
    go.set()
    assert engine.verify(header(GOOD), peer=PEER, now=10**18).decision.allowed
    assert engine.check(header(GOOD), peer=PEER, now=10**18).allowed


@pytest.mark.parametrize("now", [-1, 2**64, "soon", 0.5])
def test_a_now_that_is_none_is_named(now: Any) -> None:
    engine = own(lambda _id, _key: None)
    for call in (engine.authenticate, engine.verify, engine.verify_async, engine.stats):
        with pytest.raises((TypeError, ValueError), match="now: found"):
            call(now=now)


def test_an_exception_is_unavailable_and_nothing_is_cached() -> None:
    asked = []

    def fails_at_first(name: str, key: bytes) -> list[str]:
        asked.append(name)
        if len(asked) == 1:
            raise ConnectionError(f"the directory does not answer to {key!r}")
        return ["event:write"]

    engine = own(fails_at_first)
    assert outcome(engine.verify(header(GOOD), peer=PEER)) == (503, "unavailable")
    assert engine.stats()["api_keys"]["last_error"] == "the verifier raised ConnectionError"
    assert engine.verify(header(GOOD), peer=PEER).decision.allowed
    assert asked == ["ci", "ci"]


def test_ctrl_c_ends_the_waiting(request: pytest.FixtureRequest) -> None:
    # Whoever runs the tests in the background of a shell has it ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    go = threading.Event()
    engine = own(lambda _id, _key: go.wait(10) and None)
    threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        engine.verify(header(GOOD), peer=PEER)
    assert time.monotonic() - started < 5
    go.set()


LEAVING = f"""
import asyncio, sys, time, tollbar

def blocks(name, key):
    time.sleep(float(sys.argv[1]))
    return ["event:write"]

async def hangs(name, key):
    await asyncio.sleep(60)

async def main():
    engine.set_verifier({{"blocks": blocks, "hangs": hangs}}[sys.argv[2]])
    engine.verify_async("ApiKey {GOOD}")
    await asyncio.sleep(0.05)

engine = tollbar.Engine.from_str("{ENABLED}")
asyncio.run(main())
"""


@pytest.mark.parametrize("arguments", [("0.05", "blocks"), ("0.06", "blocks"), ("0.5", "blocks"), ("0", "hangs")])
def test_a_program_may_end_while_a_key_is_verified(arguments: tuple[str, str]) -> None:
    started = time.monotonic()
    command = [sys.executable, "-c", LEAVING, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - started < 4


async def test_an_async_verifier_runs_on_the_loop_it_was_set_on() -> None:
    here = asyncio.get_running_loop()
    loops = []

    async def ask(name: str, key: bytes) -> list[str] | None:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0.01)
        return directory(name, key)

    engine = own(ask)
    assert (await engine.verify_async(header(GOOD), peer=PEER)).decision.allowed
    assert outcome(await engine.verify_async(header(BAD), peer=PEER)) == (401, "invalid_api_key")
    assert loops == [here, here]
    in_a_thread = await asyncio.to_thread(engine.verify, header(GOOD), PEER)
    assert in_a_thread.decision.allowed


async def test_an_async_verifier_is_given_up_after_its_time_out() -> None:
    cancelled = asyncio.Event()

    async def hangs(_id: str, _key: bytes) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    engine = own(hangs, timeout=0.05)
    assert outcome(await engine.verify_async(header(GOOD), peer=PEER)) == (503, "unavailable")
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_a_loop_is_never_made_to_wait_for_itself() -> None:
    async def ask(_id: str, _key: bytes) -> None:
        raise AssertionError

    engine = own(ask)
    with pytest.raises(RuntimeError, match="await verify_async"):
        engine.verify(header(GOOD), peer=PEER)
    # Its kind can't be seen: it is given up.
    hidden = own(lambda name, key: ask(name, key), timeout=0.05)  # noqa: PLW0108
    assert outcome(hidden.verify(header(GOOD), peer=PEER)) == (503, "unavailable")


def test_an_async_verifier_whose_loop_is_gone_is_unavailable() -> None:
    async def ask(_id: str, _key: bytes) -> list[str]:
        return ["event:write"]

    async def make() -> Engine:
        return own(ask)

    engine = asyncio.run(make())
    assert outcome(engine.verify(header(GOOD), peer=PEER)) == (503, "unavailable")


def test_what_is_no_verifier_is_named() -> None:
    async def ask(_id: str, _key: bytes) -> None:
        pass

    with pytest.raises(TypeError, match="verifier: found a int"):
        own(5)
    with pytest.raises(RuntimeError, match="no event loop is running"):
        own(ask)
    with pytest.raises(ValueError, match="timeout: found -1"):
        own(directory, timeout=-1)


def test_one_verification_is_in_flight_per_key() -> None:
    asked: list[str] = []
    go = threading.Event()

    def slow(name: str, _key: bytes) -> list[str]:
        asked.append(name)
        go.wait(10)
        return ["event:write"]

    engine = own(slow)
    clients: list[Client] = []
    threads = [
        threading.Thread(target=lambda: clients.append(engine.verify(header(GOOD), peer=PEER))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    go.set()
    for thread in threads:
        thread.join()
    assert asked == ["ci"]
    assert len([client for client in clients if client.decision.allowed]) == 8


def test_a_verifier_is_let_go_with_its_engine() -> None:
    gone = threading.Event()

    class Directory:
        def __call__(self, _id: str, _key: bytes) -> list[str]:
            return ["event:write"]

        def __del__(self) -> None:
            gone.set()

    engine = own(Directory())
    assert engine.verify(header(GOOD), peer=PEER).decision.allowed
    del engine
    deadline = time.monotonic() + 10
    while not gone.is_set():
        # The engine's thread let go of it; the next call of the wheel's hands it to Python.
        assert time.monotonic() < deadline
        Engine.from_str(ENABLED)


def test_a_generated_key_opens_what_its_hash_closes() -> None:
    key = tollbar.generate_api_key()
    named = tollbar.generate_api_key("shop-backend")
    assert named.id == "shop-backend"
    assert key.key != named.key
    keys = ", ".join(f"{{id: {k.id}, hash: '{k.hash}', privileges: [event:write]}}" for k in (key, named))
    engine = Engine.from_str(f"apm-server.auth.api_key: {{enabled: true, keys: [{keys}]}}")
    assert engine.check(header(key.credential), peer=PEER).method == "api_key"
    assert base64.b64decode(named.credential) == f"shop-backend:{named.key}".encode()
    assert engine.check(header(named.credential), peer=PEER, action="sourcemap").reason == "missing_privilege"
    assert outcome(engine.authenticate(header(GOOD), peer=PEER)) == (401, "invalid_api_key")
    assert named.key not in repr(named)
    assert named.credential not in repr(named)
    assert "shop-backend" in repr(named)


def test_a_key_that_exists_is_hashed_unless_it_is_weak() -> None:
    key = tollbar.generate_api_key("a")
    hashes = {tollbar.hash_api_key("a", key.key.encode()) for _ in range(2)}
    assert len(hashes) == 2
    for value in (*hashes, key.hash):
        keys = f"[{{id: a, hash: '{value}', privileges: event:write}}]"
        engine = Engine.from_str(f"apm-server.auth.api_key: {{enabled: true, keys: {keys}}}")
        assert engine.check(header(key.credential), peer=PEER).allowed
    with pytest.raises(ValueError, match="128 random bits"):
        tollbar.hash_api_key("a", b"weak")
    with pytest.raises(ValueError, match="without colon"):
        tollbar.generate_api_key("a:b")


async def test_refusals_name_the_id_and_nothing_shows_a_secret(engine: Engine) -> None:
    clients = [
        engine.verify(header(BAD), peer=PEER),
        await engine.verify_async(header(BAD), peer="2001:db8::1"),
        await engine.verify_async(header(GOOD), peer=PEER),
    ]
    assert clients[2].authorize("sourcemap", service="shop").status == 403
    by_sync, by_async, forbidden = engine.recent_refusals()
    assert (by_sync.reason, by_sync.credential_id, by_sync.client) == ("invalid_api_key", "ci", PEER)
    assert (by_async.credential_id, by_async.client) == ("ci", "2001:db8::/64")
    assert (forbidden.action, forbidden.method, forbidden.service) == ("sourcemap", "api_key", "shop")
    shown = repr((clients, [c.decision for c in clients], engine.recent_refusals(), engine.stats(), engine))
    assert not [secret for secret in SECRETS if secret in shown]


async def test_what_was_waited_for_is_recorded_once(engine: Engine, elasticsearch: Elasticsearch) -> None:
    elasticsearch.status = 503
    assert outcome(await engine.verify_async(header(GOOD), peer=PEER)) == (503, "unavailable")
    elasticsearch.status = None
    assert outcome(await engine.verify_async(header(BAD), peer=PEER)) == (401, "invalid_api_key")
    assert [(one.reason, one.credential_id) for one in engine.recent_refusals()] == [
        ("unavailable", "ci"),
        ("invalid_api_key", "ci"),
    ]
    assert engine.stats()["refused"]["invalid_api_key"] == 1
