"""The end-to-end test: the rows of `make demo`, one test a scene, and the checks that the rows themselves rest on.

TOLLBAR_REQUIRE_BROWSER=1 makes a missing browser a failure instead of a skip.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from e2e.clients.rotation import Answer, Change, permitted
from e2e.gcra import Limit, Observer
from e2e.outcome import Bounds, Expected, Outcome, Row, table
from e2e.scenario import SCENES
from e2e.server import INGESTORS


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("ingestor", INGESTORS)
def test_every_client_is_treated_as_spec_says(ingestor: str, scene: str) -> None:
    rows = SCENES[scene](INGESTORS[ingestor])
    print(table(rows))
    assert rows
    assert not [f"{row.client}: {problem}" for row in rows for problem in row.problems]
    skipped = [f"{row.client}: {row.skipped}" for row in rows if row.skipped]
    if skipped and os.environ.get("TOLLBAR_REQUIRE_BROWSER") == "1":
        pytest.fail("; ".join(skipped))
    if len(skipped) == len(rows):
        pytest.skip("; ".join(skipped))


def _row(outcome: Outcome, written: int, expected: Expected) -> Row:
    return Row("client", expected, outcome, written)


def test_a_row_is_wrong_if_anything_differs() -> None:
    rest_limited = Expected(Bounds(3, 5), 429, "because")
    assert not _row(Outcome(10, 4, Counter({429: 6})), 4, rest_limited).problems
    assert _row(Outcome(10, 6, Counter({429: 4})), 6, rest_limited).problems, "too much accepted"
    assert _row(Outcome(10, 2, Counter({429: 8})), 2, rest_limited).problems, "too little accepted"
    assert _row(Outcome(10, 4, Counter({403: 6})), 4, rest_limited).problems, "another status"
    assert _row(Outcome(10, 4, Counter({429: 5})), 4, rest_limited).problems, "an event is unaccounted for"
    assert _row(Outcome(10, 4, Counter({429: 6})), 3, rest_limited).problems, "an accepted event was not written"
    assert _row(Outcome(), 0, Expected(Bounds.exactly(0), None, "")).problems, "nothing was sent"


def test_the_observer_of_a_counter_tells_too_much_from_too_little() -> None:
    observer = Observer(Limit(rate=2, burst=4))
    assert observer.admitted(4, 0.0, 0.1) is None
    assert observer.admitted(1, 0.1, 0.2), "the burst was used up 0.2 s ago at most"
    observer = Observer(Limit(rate=2, burst=4))
    assert observer.admitted(4, 0.0, 0.1) is None
    assert observer.refused(1, 0.1, 0.2) is None
    assert observer.refused(1, 0.7, 0.8), "one event is refilled after 0.5 s, counted from 0.1 s at the latest"
    assert observer.admitted(1, 0.7, 0.8) is None
    assert observer.refused(1, 0.9, 1.0, wait=1.0), "it fits within the wait"
    assert observer.refused(5, 9.0, 9.1) is None, "more than the burst never fits"


def test_a_rotation_permits_either_answer_only_while_a_change_is_under_way() -> None:
    both, new = frozenset({"old", "new"}), frozenset({"new"})
    changes = [Change(frozenset({"old"}), both, 10.0, 11.0), Change(both, new, 20.0, 21.0)]

    def allowed(token: str, sent: float, answered: float) -> set[int]:
        return permitted(Answer(token, sent, answered, 0), changes)

    assert allowed("old", 1.0, 1.1) == {202}
    assert allowed("new", 1.0, 1.1) == {401}
    assert allowed("old", 10.5, 10.6) == {202}, "valid before and after the first change"
    assert allowed("new", 10.5, 10.6) == {202, 401}
    assert allowed("new", 11.1, 20.5) == {202}, "valid before and after the second change"
    assert allowed("old", 20.5, 20.6) == {202, 401}
    assert allowed("old", 21.1, 21.2) == {401}
    assert allowed("neither", 9.9, 30.0) == {401}
