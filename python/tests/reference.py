"""The rule of the rate limit, written for clarity: what the engine must say, one request after another.

It is SPEC section 4 for a table in which every counter is a candidate of every key (ip_limit up to 16), with exact
integers. `event_limit` must divide 10**9, so that the emission interval is whole nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

SECOND = 1_000_000_000


@dataclass
class Counter:
    """One theoretical arrival time, and the key that owns it."""

    tat: int = 0
    owner: str | None = None


@dataclass
class Verdict:
    """What the rule says of one batch."""

    reason: str
    retry_after_ns: int | None = None


class Reference:
    """A fixed number of GCRA counters."""

    def __init__(self, ip_limit: int, event_limit: int, burst: int) -> None:
        assert ip_limit <= 16
        assert SECOND % event_limit == 0
        self.interval = SECOND // event_limit
        self.burst = burst
        self.counters = [Counter() for _ in range(ip_limit)]

    def charge(self, key: str, n: int, now: int) -> Verdict:
        """Charge a batch of n events."""
        if n > self.burst:
            return Verdict("exceeds_burst")
        own = next((counter for counter in self.counters if counter.owner == key), None)
        counter = own or min(self.counters, key=lambda counter: counter.tat)
        new_tat = max(counter.tat, now) + n * self.interval
        latest = now + self.burst * self.interval
        if n > 0 and new_tat > latest:
            return Verdict("rate_limited", new_tat - latest)
        if n > 0:
            # A newcomer takes the counter over with the TAT that it has: nobody is refilled.
            counter.owner = key
            counter.tat = new_tat
        return Verdict("allowed")


def exceeds_global_bound(
    admitted: list[tuple[int, int]], ip_limit: int, event_limit: int, burst: int
) -> tuple[int, int] | None:
    """Return the first window (from, to) in which more was admitted than P1 allows; None if there is none.

    `admitted` holds (time in ns, events). Times are whole nanoseconds: what is stamped t happened within [t, t + 1 ns),
    so a window that holds the stamps a and b is up to b - a + 1 ns long.
    """
    admitted = sorted(admitted)
    for first, (start, _) in enumerate(admitted):
        total = 0
        for end, events in admitted[first:]:
            total += events
            if total * SECOND > ip_limit * (burst * SECOND + event_limit * (end - start + 1)):
                return start, end
    return None
