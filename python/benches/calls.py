"""Calls of the engine against their floor and their peers, by pyperf: `python benches/calls.py -o result.json`.

The floor is a PyO3 method with the signature of `Engine.check` that does nothing (`benches/empty`). The peer is what
a Python service would write without Tollbar: `limits` (moving window, in memory) and `hmac.compare_digest`.

Both limit a thousand addresses in turn, and admit all.
"""

from __future__ import annotations

import os

import pyperf

SETUP = """
import hmac, itertools, sys
import numpy
import limits, limits.storage, limits.strategies
import tollbar
import tollbar_bench_empty

TOKEN = "correct-horse-battery-staple"
BEARER = "Bearer " + TOKEN
engine = tollbar.Engine.from_str('''
apm-server.auth:
  secret_token: ''' + TOKEN + '''
  anonymous: {enabled: true, allow_service: [shop], rate_limit: {ip_limit: 10000, event_limit: 1000000000}}
''')
check = engine.check
empty = tollbar_bench_empty.Empty().check
peers = [f"10.0.{number // 250}.{number % 250}" for number in range(1000)]
turns = itertools.cycle(peers).__next__
packed = numpy.array([0x0A000000 + number for number in range(1000)], numpy.uint32)
costs = numpy.ones(1000, numpy.int64)

limiter = limits.strategies.MovingWindowRateLimiter(limits.storage.MemoryStorage())
quota = limits.parse("300/second")
def limits_and_hmac(authorization, peer):
    if authorization is not None:
        return hmac.compare_digest(authorization.encode(), BEARER.encode())
    return limiter.hit(quota, peer)

assert check(BEARER, turns()).allowed
assert check(peer=turns(), agent="rum-js", service="shop").allowed
assert limits_and_hmac(BEARER, turns()) and limits_and_hmac(None, turns())
assert all(engine.check_batch(packed, agent="rum-js", service="shop", cost=costs).allowed)
"""

BENCHES = {
    "check, token: tollbar": "check(BEARER, turns())",
    "check, token: empty PyO3 call": "empty(BEARER, turns())",
    "check, anonymous: tollbar": "check(peer=turns(), agent='rum-js', service='shop')",
    "check, anonymous: empty PyO3 call": "empty(peer=turns(), agent='rum-js', service='shop')",
    # Tollbar looks for a token and at the limit in one call; the peer needs both for clients that may have either.
    "check, anonymous: limits + hmac.compare_digest": "limits_and_hmac(BEARER, ''); limits_and_hmac(None, turns())",
    "the next address": "turns()",
}
BATCHES = {
    "batch of 1000, NumPy: tollbar": "engine.check_batch(packed, agent='rum-js', service='shop', cost=costs)",
    "batch of 1000, list of str: tollbar": "engine.check_batch(peers, agent='rum-js', service='shop')",
    "batch of 1000, NumPy: check one by one": "for peer in peers: check(peer=peer, agent='rum-js', service='shop')",
}


def main() -> None:
    """Runs what the command line asks for, as pyperf does."""
    thorough = (
        {"processes": 5, "values": 5} if os.environ.get("TOLLBAR_BENCH") == "full" else {"processes": 1, "values": 5}
    )
    runner = pyperf.Runner(**thorough, warmups=3, min_time=0.05)
    runner.metadata["description"] = "Tollbar's calls against their floor and their peers"
    for name, statement in BENCHES.items():
        runner.timeit(name, statement, setup=SETUP)
    for name, statement in BATCHES.items():
        runner.timeit(name, statement, setup=SETUP, inner_loops=1000)


if __name__ == "__main__":
    main()
