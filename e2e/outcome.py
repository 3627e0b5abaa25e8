"""What a client was told, what SPEC allows it to be told, and the table of both.

Everything is counted in events. Invariant of an `Outcome`: every event that was sent stands exactly once, either in `accepted`
or under the status that refused it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

UNAUTHENTICATED, FORBIDDEN, LIMITED = 401, 403, 429
SHOWN = 5
"""How many of a client's own complaints are shown."""


@dataclass
class Outcome:
    """One client's own account of a run."""

    sent: int = 0
    accepted: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """What the client itself saw that SPEC does not allow, as sentences."""

    def add(self, sent: int, accepted: int, status: int) -> None:
        """Counts one answered request: `accepted` of its `sent` events were taken, the rest was refused with `status`."""
        self.sent += sent
        self.accepted += accepted
        if accepted < sent:
            self.refused[status] += sent - accepted

    def merge(self, other: Outcome) -> None:
        """Adds another part of the same client's run."""
        self.sent += other.sent
        self.accepted += other.accepted
        self.refused += other.refused
        self.wrong += other.wrong

    def as_json(self) -> dict[str, object]:
        """For a client that runs in a process of its own."""
        refused = {str(status): events for status, events in self.refused.items()}
        return {"sent": self.sent, "accepted": self.accepted, "refused": refused, "wrong": self.wrong}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Outcome:
        """The inverse of `as_json`."""
        refused = Counter({int(status): int(events) for status, events in value["refused"].items()})
        return cls(int(value["sent"]), int(value["accepted"]), refused, list(value["wrong"]))


@dataclass(frozen=True)
class Bounds:
    """An inclusive range. Where no time passes between cause and effect both ends are the same."""

    low: int
    high: int

    @classmethod
    def exactly(cls, value: int) -> Bounds:
        return cls(value, value)

    def __contains__(self, value: int) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}..{self.high}"


@dataclass(frozen=True)
class Expected:
    """What SPEC says of a client: how much is accepted, and the only status that may refuse the rest."""

    accepted: Bounds
    refusal: int | None
    why: str

    def __str__(self) -> str:
        return f"{self.accepted} accepted" + (f", rest {self.refusal}" if self.refusal else "")


@dataclass
class Row:
    """One line of the table. It stands if `problems` is empty."""

    client: str
    expected: Expected
    outcome: Outcome
    written: int = 0
    skipped: str | None = None

    @classmethod
    def skip(cls, client: str, reason: str) -> Row:
        """A client that could not be run here."""
        return cls(client, Expected(Bounds.exactly(0), None, ""), Outcome(), skipped=reason)

    @property
    def problems(self) -> list[str]:
        """Everything in which the run differs from SPEC, as sentences."""
        if self.skipped:
            return []
        outcome, expected = self.outcome, self.expected
        found = outcome.wrong[:SHOWN]
        if len(outcome.wrong) > SHOWN:
            found.append(f"and {len(outcome.wrong) - SHOWN} more of these")
        if not outcome.sent:
            found.append("the client sent nothing")
        if outcome.accepted not in expected.accepted:
            found.append(f"{outcome.accepted} events were accepted, {expected.accepted} were expected: {expected.why}")
        for status, events in outcome.refused.items():
            if status != expected.refusal:
                found.append(f"{events} events were refused with {status}, which nothing in SPEC explains here")
        if outcome.sent != outcome.accepted + outcome.refused.total():
            found.append("the client can't account for every event that it sent")
        if self.written != outcome.accepted:
            found.append(f"the client was told that {outcome.accepted} events were accepted, the output holds {self.written}")
        return found


def table(rows: Iterable[Row]) -> str:
    """The table that `make demo` ends with, one line a client, followed by what is wrong and what was skipped."""
    heads = ("client", "sent", "accepted", "401", "403", "429", "written", "expected", "")
    rows = list(rows)
    lines = [heads, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    drawn = [
        "  ".join(_align(cell, width, column) for column, (cell, width) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    ]
    drawn.insert(1, "  ".join("-" * width for width in widths))
    drawn += [f"WRONG: {row.client}: {problem}" for row in rows for problem in row.problems]
    drawn += [f"SKIPPED: {row.client}: {row.skipped}" for row in rows if row.skipped]
    return "\n".join(line.rstrip() for line in drawn)


def _cells(row: Row) -> tuple[str, ...]:
    if row.skipped:
        return (row.client, *[""] * 7, "SKIPPED")
    outcome = row.outcome
    counts = [
        outcome.sent,
        outcome.accepted,
        *(outcome.refused[status] for status in (UNAUTHENTICATED, FORBIDDEN, LIMITED)),
    ]
    return (
        row.client,
        *map(str, counts),
        str(row.written),
        str(row.expected),
        "WRONG" if row.problems else "ok",
    )


def _align(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if 1 <= column <= 6 else cell.ljust(width)
