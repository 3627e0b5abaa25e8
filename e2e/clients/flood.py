"""A flood of anonymous events from many client addresses that one trusted proxy forwards, on loopback only.

Every address sends its requests one after the other while all addresses send at once, so that each decision can be placed in
time. What an address may get is checked decision by decision against `e2e.gcra`, and in total against SPEC's bounds.

The proxy adds the client's address at the right of X-Forwarded-For; what stands to the left of it came from the client. Every
request here carries another forged address on the left: a server that believed it would never refuse anything.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from urllib.parse import urlsplit

from e2e.gcra import MAX_WAIT, Limit, Observer
from e2e.outcome import Outcome

THREADS = 40
REQUEST_COST = 1
"""SPEC section 2: one event is charged when an anonymous request arrives, before its body is read."""


class Sender:
    """One client key: an IPv4 address, or an IPv6 /64 from which every request takes another address."""

    def __init__(self, address: Callable[[int], str], limit: Limit | None = None) -> None:
        self.address = address
        self.outcome = Outcome()
        self.requests_taken = 0
        self.first, self.last = float("inf"), 0.0
        self._observer = Observer(limit) if limit else None

    def told(self, events: int, accepted: int, status: int, sent: float, answered: float) -> None:
        """Counts one answer and notes whether a counter of this key's own explains it."""
        self.outcome.add(events, accepted, status)
        self.requests_taken += status == 202
        self.first, self.last = min(self.first, sent), answered
        wrong = self._judge(self._observer, events, accepted, sent, answered) if self._observer else None
        if wrong:
            self.outcome.wrong.append(f"{self.address(0)}: {wrong}")

    @staticmethod
    def _judge(observer: Observer, events: int, accepted: int, sent: float, answered: float) -> str | None:
        if accepted == events:
            # The answer to a batch that had to wait for room comes after the wait: then it conforms.
            return observer.admitted(REQUEST_COST + events, sent, answered)
        request = observer.refused(REQUEST_COST, sent, answered)
        if observer.room_within(MAX_WAIT) >= events:
            return request  # its batch would have found room while it waited, so the request itself was refused
        # Either the request itself was refused, or it was charged and its batch didn't fit, not even after the wait.
        batch = observer.refused(REQUEST_COST + events, sent, answered, wait=MAX_WAIT)
        observer.perhaps_charged(REQUEST_COST, answered)
        return batch if request and batch else None


def senders(ipv4: int, ipv6: int, limit: Limit | None) -> list[Sender]:
    """Addresses of the benchmarking and documentation ranges, so that none is anybody's."""
    fixed = [f"198.{18 + number // 254}.0.{number % 254 + 1}" for number in range(ipv4)]
    four = [Sender(partial(_always, address), limit) for address in fixed]
    return four + [Sender(partial(_within, network), limit) for network in range(ipv6)]


def _always(address: str, turn: int) -> str:
    return address


def _within(network: int, turn: int) -> str:
    return f"2001:db8:0:{network:x}::{turn + 1:x}"


def flood(server: str, service: str, crowd: Sequence[Sender], requests: int, events: int, threads: int = THREADS) -> None:
    """Lets every sender send `requests` requests of `events` events each."""
    shares = [crowd[start::threads] for start in range(min(threads, len(crowd)))]
    failures: list[str] = []
    workers = [threading.Thread(target=_work, args=(server, service, share, requests, events, failures)) for share in shares]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise RuntimeError("; ".join(failures[:3]))


def _work(server: str, service: str, share: Sequence[Sender], requests: int, events: int, failures: list[str]) -> None:
    try:
        connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=30)
        body = _body(service, events)
        for turn in range(requests):
            for sender in share:
                _send(connection, sender, turn, events, body)
        connection.close()
    except (OSError, http.client.HTTPException, ValueError) as failure:  # told by the thread that waits
        failures.append(repr(failure))


def _body(service: str, events: int) -> bytes:
    metadata = {"metadata": {"service": {"name": service, "agent": {"name": "rum-js", "version": "5.17.5"}}}}
    transaction = {"name": "flood", "type": "custom", "duration": 1, "span_count": {"started": 0}}
    lines = [{"transaction": {"id": f"{n:016x}", "trace_id": f"{n + 1:032x}", **transaction}} for n in range(events)]
    return "".join(json.dumps(line) + "\n" for line in [metadata, *lines]).encode()


def _send(connection: http.client.HTTPConnection, sender: Sender, turn: int, events: int, body: bytes) -> None:
    forged = f"192.0.2.{turn % 254 + 1}"
    headers = {"Content-Type": "application/x-ndjson", "X-Forwarded-For": f"{forged}, {sender.address(turn)}"}
    sent = time.monotonic()
    connection.request("POST", "/intake/v2/rum/events?verbose", body, headers)
    response = connection.getresponse()
    text = response.read()
    answered = time.monotonic()
    accepted = json.loads(text).get("accepted", 0) if text else 0
    sender.told(events, accepted, response.status, sent, answered)
    if response.status == 429 and not response.getheader("Retry-After"):
        sender.outcome.wrong.append("a 429 came without Retry-After")
