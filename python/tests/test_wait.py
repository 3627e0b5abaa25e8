"""`await client.wait(n)`: charges at once what will fit in time, sleeps until it does."""

from __future__ import annotations

import asyncio
import inspect
import time

import pytest

from tollbar import Client, Engine

YAML = """
apm-server.auth:
  secret_token: correct-horse-battery-staple
  anonymous: {enabled: true, allow_agent: [], rate_limit: {ip_limit: 10, event_limit: 100}}
"""


@pytest.fixture
def client() -> Client:
    return Engine.from_str(YAML).authenticate(peer="198.51.100.7")


async def test_what_fits_does_not_wait(client: Client) -> None:
    decision = await client.wait(300)
    assert (decision.allowed, decision.wait) == (True, 0.0)


async def test_what_will_fit_in_time_waits_until_it_does(client: Client) -> None:
    await client.wait(300)
    before = time.monotonic()
    decision = await client.wait(10, timeout=5)
    assert decision.allowed
    assert 0 < decision.wait <= 0.1
    # Real clocks differ by less than a thousandth.
    assert time.monotonic() - before >= decision.wait * 0.99


async def test_what_will_not_fit_in_time_is_refused_at_once_and_charges_nothing(client: Client) -> None:
    await client.wait(300)
    decision = await client.wait(200, timeout=0.5)
    assert (decision.allowed, decision.reason) == (False, "rate_limited")
    assert (await client.wait(400)).reason == "exceeds_burst"
    assert (await client.wait(0)).allowed


async def test_nothing_is_charged_before_it_is_awaited(client: Client) -> None:
    waiting = client.wait(300)
    assert inspect.iscoroutine(waiting)
    assert client.admit(0).remaining == 300
    await waiting
    assert client.admit(0, now=0).remaining == 0


async def test_a_wait_that_is_cancelled_has_charged(client: Client) -> None:
    now = 10**12
    await client.wait(300, now=now)
    waiting = asyncio.ensure_future(client.wait(100, timeout=10, now=now))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert client.reserve(1, max_wait=10, now=now).wait == pytest.approx(1.01)


async def test_arguments_are_checked(client: Client) -> None:
    with pytest.raises(ValueError, match="max_wait"):
        await client.wait(1, timeout=-1)
    with pytest.raises(ValueError, match="n: found -1"):
        await client.wait(-1)
