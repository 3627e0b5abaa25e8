"""The promises of the rate limit (SPEC section 4), through the wheel."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reference import SECOND, Reference, exceeds_global_bound
from tollbar import Engine

if TYPE_CHECKING:
    from tollbar import Decision

TRACES = 10_000


def engine_with(ip_limit: int, event_limit: int, burst_multiplier: int = 3) -> Engine:
    return Engine.from_str(
        f"""
apm-server.auth:
  secret_token: some-token-or-other
  anonymous:
    enabled: true
    allow_agent: []
    rate_limit: {{ip_limit: {ip_limit}, event_limit: {event_limit}}}
tollbar.burst_multiplier: {burst_multiplier}
"""
    )


def send(engine: Engine, who: int | str, n: int, now: int) -> Decision:
    peer = who if isinstance(who, str) else f"203.0.113.{who}"
    return engine.check(peer=peer, cost=n, now=now)


def test_p4_at_capacity_the_newcomer_inherits_the_smallest_tat() -> None:
    engine = engine_with(ip_limit=2, event_limit=1)
    now = 1_000 * SECOND
    a, b, c = "203.0.113.1", "203.0.113.2", "203.0.113.3"

    assert [send(engine, a, 1, now).status for _ in range(3)] == [202, 202, 202]
    assert [send(engine, b, 1, now).status for _ in range(2)] == [202, 202]
    first = send(engine, c, 1, now)
    assert (first.status, first.remaining) == (202, 0)  # on B's counter

    for key in (c, a, b):
        refused = send(engine, key, 1, now)
        assert (refused.status, refused.reason, refused.retry_after) == (429, "rate_limited", 1.0)

    # 6 = ip_limit x burst in all; a second later there is room for one more on each counter, for whoever comes first.
    later = now + SECOND
    assert [send(engine, key, 1, later).status for key in (b, a, c)].count(202) == 2


def test_p4_step_by_step_remaining_and_retry() -> None:
    engine = engine_with(ip_limit=2, event_limit=1)
    assert [send(engine, 1, 1, 0).remaining for _ in range(3)] == [2, 1, 0]
    assert send(engine, 1, 2, 0).retry_after == 2.0
    assert send(engine, 1, 1, SECOND - 1).retry_after == 1e-9
    assert send(engine, 1, 1, SECOND).allowed


def test_idle_time_is_credited_once() -> None:
    engine = engine_with(ip_limit=10, event_limit=10, burst_multiplier=1)
    assert send(engine, 1, 10, 0).allowed
    now = 700_000_000
    assert [send(engine, 1, 1, now).allowed for _ in range(12)].count(True) == 7


def test_a_stale_now_does_not_rewind_a_counter() -> None:
    engine = engine_with(ip_limit=10, event_limit=10)
    assert send(engine, 1, 30, 10 * SECOND).allowed
    assert not send(engine, 1, 1, 0).allowed
    assert not send(engine, 1, 1, 10 * SECOND).allowed


@st.composite
def traces(draw: st.DrawFn) -> tuple[int, int, int, random.Random]:
    """Draw a table's limits and the source of a trace. A seed keeps 10,000 traces affordable."""
    ip_limit = draw(st.integers(1, 16))
    event_limit = draw(st.sampled_from([1, 2, 5, 10, 100, 1000]))
    multiplier = draw(st.integers(1, 5))
    return ip_limit, event_limit, multiplier, random.Random(draw(st.integers(0, 2**32)))


RELAXED = settings(
    max_examples=TRACES, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow], derandomize=False
)


@RELAXED
@given(traces())
def test_p1_verdicts_are_those_of_the_reference(trace: tuple[int, int, int, random.Random]) -> None:
    ip_limit, event_limit, multiplier, rng = trace
    burst = event_limit * multiplier
    engine, reference = engine_with(ip_limit, event_limit, multiplier), Reference(ip_limit, event_limit, burst)
    keys = rng.randint(1, ip_limit + 4)
    pace = rng.choice([0, 1, burst, 4 * burst])
    interval = SECOND // event_limit
    now = rng.randrange(100 * SECOND) // interval * interval
    admitted = []
    for step in range(rng.randint(1, 40)):
        now += rng.randint(0, pace) * interval
        # A few nanoseconds that no other step has: then no two counters ever tie for the smallest TAT.
        at = now + step
        key = rng.randint(1, keys)
        n = rng.choice([0, 1, 1, 1, 2, rng.randint(1, burst), burst, burst + 1])
        decision = send(engine, key, n, at)
        expected = reference.charge(str(key), n, at)
        assert decision.reason == expected.reason, (step, key, n, at)
        if expected.retry_after_ns is not None:
            assert decision.retry_after is not None
            assert round(decision.retry_after * SECOND) == expected.retry_after_ns
        if decision.allowed:
            admitted.append((at, n))
    assert exceeds_global_bound(admitted, ip_limit, event_limit, burst) is None


@RELAXED
@given(traces(), st.integers(1, 1_000_000))
def test_p1_global_bound_in_every_window_whatever_the_clock_does(
    trace: tuple[int, int, int, random.Random], event_limit: int
) -> None:
    ip_limit, _, multiplier, rng = trace
    ip_limit *= rng.choice([1, 1, 10])
    burst = event_limit * multiplier
    engine = engine_with(ip_limit, event_limit, multiplier)
    clients = [engine.authenticate(peer=f"203.0.113.{key}") for key in range(1, rng.randint(2, 60))]
    start = rng.randrange(2**62)
    span = rng.choice([1, SECOND // event_limit + 1, SECOND, 5 * SECOND])
    admitted = []
    for _ in range(rng.randint(1, 40)):
        now = start + rng.randrange(span)  # forwards, backwards, at once
        n = rng.choice([1, rng.randint(1, burst), burst])
        decision = rng.choice(clients).reserve(n, max_wait=rng.choice([0.0, 1.0]), now=now)
        if decision.allowed:
            admitted.append((now + round(decision.wait * SECOND), n))
    assert exceeds_global_bound(admitted, ip_limit, event_limit, burst) is None


def test_a_real_flood_is_really_limited() -> None:
    engine = engine_with(ip_limit=100, event_limit=200)
    client = engine.authenticate(peer="203.0.113.9")
    started = time.monotonic()
    admitted = calls = 0
    while time.monotonic() - started < 1.0:
        admitted += client.admit(1).allowed
        calls += 1
    elapsed = time.monotonic() - started
    assert calls > 10_000
    assert 600 + 0.9 * 200 <= admitted <= 600 + 200 * (elapsed + 0.01)
