"""What SPEC section 4 allows one client key to be admitted, judged from outside.

A client sees when it sent a request and when the answer came; the decision fell somewhere between. So the counter's theoretical
arrival time (TAT) is known as an interval, and a decision is wrong only if no moment and no TAT in the intervals explains it.

Invariant: `low <= TAT <= high`, as long as the server keeps SPEC. Times are seconds of one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_WAIT = 1.0
"""How long a batch may wait for room before it is refused (SPEC section 2)."""

CLOCKS_DIFFER = 0.005
"""Seconds by which the server's clock may drift from ours within a run: it may read another counter of the machine."""


@dataclass(frozen=True)
class Limit:
    """A rate limit's configuration: `rate` events a second, `burst` at once."""

    rate: float
    burst: int

    def most(self, elapsed: float) -> int:
        """The most events that one counter admits within `elapsed` seconds. Whoever had to wait was answered after it."""
        return int(self.burst + self.rate * (elapsed + CLOCKS_DIFFER))

    def refilled(self, elapsed: float) -> int:
        """The fewest events that there is room for after `elapsed` seconds in which nothing was charged."""
        return min(self.burst, int(self.rate * max(0.0, elapsed - CLOCKS_DIFFER)))


class Observer:
    """Follows one key. Every method returns None, or a sentence that says why SPEC does not allow what happened."""

    def __init__(self, limit: Limit) -> None:
        self._interval = 1 / limit.rate
        self._tolerance = limit.burst / limit.rate
        self._low = self._high = float("-inf")

    def admitted(self, events: int, sent: float, answered: float, wait: float = 0.0) -> str | None:
        """A batch was admitted: possible only if it conforms for the smallest TAT, seen as late as it can be."""
        cost = events * self._interval
        excess = max(self._low, sent) + cost - (answered + wait + self._tolerance) - CLOCKS_DIFFER
        self._low = max(self._low, sent) + cost
        self._high = max(self._high, answered) + cost
        return f"{events} more were admitted {excess:.3f} s too early" if excess > 0 else None

    def refused(self, events: int, sent: float, answered: float, wait: float = 0.0) -> str | None:
        """A batch was refused: possible only if it doesn't conform for the largest TAT, seen as early as it can be."""
        cost = events * self._interval
        excess = max(self._high, sent) + cost - (sent + wait + self._tolerance) + CLOCKS_DIFFER
        return f"{events} more were refused although they had fit for {-excess:.3f} s" if excess <= 0 else None

    def room_within(self, wait: float) -> int:
        """How many events surely get room by a wait of so many seconds."""
        return int(wait / self._interval)

    def perhaps_charged(self, events: int, answered: float) -> None:
        """Events were charged, or not: the client can't know."""
        self._high = max(self._high, answered) + events * self._interval
