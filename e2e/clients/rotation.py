"""A rotation of the secret token under load: A, then A and B, then B alone, while clients send with A, B and a third token.

What must hold, whatever the moment at which the server takes a new configuration:
- a token that is valid before and after a change is never refused across it;
- a token that is valid neither before nor after is never accepted;
- a file that can't be taken changes nothing;
- in between, a token that a change makes valid (or invalid) may get either answer, and no answer but 202 and 401.

A change begins when the new file is put in place, and has surely been taken once a request that was sent later got the new
answer.
"""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from e2e.outcome import Bounds, Outcome

EVENTS = 2
RELOAD_PATIENCE = 15.0
"""Seconds within which a changed file must be in force."""


@dataclass(frozen=True)
class Answer:
    """One request with one token."""

    token: str
    sent: float
    answered: float
    status: int


@dataclass(frozen=True)
class Change:
    """The valid tokens changed from `before` to `after` between the moments `begun` and `done`."""

    before: frozenset[str]
    after: frozenset[str]
    begun: float
    done: float


def permitted(answer: Answer, changes: Sequence[Change]) -> set[int]:
    """The statuses that SPEC allows for this request: what each configuration that may have judged it says."""
    configurations = [changes[0].before] if answer.sent < changes[0].done else []
    for change, following in zip(changes, [*changes[1:], None], strict=True):
        if answer.answered >= change.begun and (following is None or answer.sent < following.done):
            configurations.append(change.after)
    return {202 if answer.token in valid else 401 for valid in configurations}


class Load:
    """Clients that send without pause until they are stopped, two threads a token."""

    def __init__(self, server: str, services: dict[str, str]) -> None:
        self._server = server
        self._stopped = threading.Event()
        self.failures: list[str] = []
        self.answers: list[Answer] = []
        self._workers = [threading.Thread(target=self._work, args=pair) for pair in services.items() for _ in range(2)]

    def __enter__(self) -> Self:
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for worker in self._workers:
            worker.join()

    def _work(self, token: str, service: str) -> None:
        try:
            connection = http.client.HTTPConnection(urlsplit(self._server).netloc, timeout=30)
            while not self._stopped.is_set():
                self.answers.append(send(connection, token, service))
                self._stopped.wait(0.002)
            connection.close()
        except (
            OSError,
            http.client.HTTPException,
        ) as failure:  # a request that was dropped: the reload's fault
            self.failures.append(f"a client of the rotation failed: {failure!r}")

    def await_status(self, token: str, status: int, since: float) -> float:
        """The moment at which `token` had first got `status` for a request sent after `since`."""
        looked_at, deadline = 0, time.monotonic() + RELOAD_PATIENCE
        while time.monotonic() < deadline:
            looked_at, fresh = len(self.answers), self.answers[looked_at:]
            for answer in fresh:
                if answer.token == token and answer.status == status and answer.sent >= since:
                    return answer.answered
            time.sleep(0.01)
        raise TimeoutError(f"the changed configuration was not in force after {RELOAD_PATIENCE:g} s")


def send(connection: http.client.HTTPConnection, token: str, service: str) -> Answer:
    """One small intake request with a secret token."""
    metadata = {"metadata": {"service": {"name": service, "agent": {"name": "python", "version": "6.26.2"}}}}
    event = {
        "transaction": {
            "id": "1" * 16,
            "trace_id": "1" * 32,
            "type": "custom",
            "duration": 1,
            "span_count": {"started": 0},
        }
    }
    body = "".join(json.dumps(line) + "\n" for line in [metadata, *[event] * EVENTS]).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
    sent = time.monotonic()
    connection.request("POST", "/intake/v2/events", body, headers)
    response = connection.getresponse()
    response.read()
    return Answer(token, sent, time.monotonic(), response.status)


@dataclass
class Rotation:
    """Changes the file, one step at a time, and remembers when."""

    load: Load
    file: Path
    render: Callable[[Sequence[str]], str]
    valid: frozenset[str]
    changes: list[Change] = field(default_factory=list)

    def step(self, valid: Sequence[str], watch: tuple[str, int], signal: Callable[[], None] | None = None) -> None:
        """Puts a file with the tokens `valid` in place, signals if asked to, and waits until `watch` (token, status) is seen."""
        begun = self._replace(self.render(valid))
        if signal:
            signal()
        done = self.load.await_status(*watch, since=begun)
        self.changes.append(Change(self.valid, frozenset(valid), begun, done))
        self.valid = frozenset(valid)
        time.sleep(0.5)  # load under the new configuration alone

    def blunder(self, text: str, noticed: Callable[[], bool]) -> None:
        """Puts a file in place that can't be taken. Nothing may change, and that the server has read it must be `noticed`."""
        self._replace(text)
        deadline = time.monotonic() + RELOAD_PATIENCE
        while not noticed():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the server said nothing of a bad configuration for {RELOAD_PATIENCE:g} s")
            time.sleep(0.02)
        time.sleep(0.5)

    def _replace(self, text: str) -> float:
        new = self.file.with_suffix(".new")
        new.write_text(text)
        begun = time.monotonic()
        os.replace(new, self.file)
        return begun

    def outcome(self, token: str) -> Outcome:
        """What the clients with this token were told in all, and every answer that SPEC does not allow."""
        told = Outcome()
        for answer in self._answers(token):
            told.add(EVENTS, EVENTS if answer.status == 202 else 0, answer.status)
            allowed = permitted(answer, self.changes)
            if answer.status not in allowed:
                when = f"{answer.sent - self.changes[0].begun:+.3f} s after the first change"
                told.wrong.append(f"{answer.status} for the token {token} {when}; only {allowed} fits")
        return told

    def bounds(self, token: str) -> Bounds:
        """How many events SPEC lets these clients have: those that must be accepted, and those that may be."""
        allowed = [permitted(answer, self.changes) for answer in self._answers(token)]
        return Bounds(EVENTS * sum(statuses == {202} for statuses in allowed), EVENTS * sum(202 in s for s in allowed))

    def _answers(self, token: str) -> Iterator[Answer]:
        return (answer for answer in self.load.answers if answer.token == token)
