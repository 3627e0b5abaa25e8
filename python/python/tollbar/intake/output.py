"""Accepted events, written as ndjson: one line an event.

Invariants: a batch is written whole and in one piece, or not at all as far as its client is told; `write` returns after
the bytes have been handed to the operating system. One batch per stream is waiting at most, so memory is bounded by the
number of streams. The event loop never blocks on a slow disk or pipe.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tollbar.intake.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger("tollbar.intake")


@dataclass(frozen=True, slots=True)
class Record:
    """One accepted event, ready to be written."""

    type: str
    event: str
    """The event itself, as JSON."""


class Origin:
    """Where the events of one stream or resource come from: the part of each line that is the same for all."""

    def __init__(
        self, *, protocol: str, client: str, method: str | None, agent: str | None, service: str | None
    ) -> None:
        shared = {"client": client, "method": method, "service": service, "agent": agent, "protocol": protocol}
        self._head = json.dumps(shared, separators=(",", ":"))[:-1]

    def lines(self, records: Iterable[Record]) -> bytes:
        """Return the batch as it will be written."""
        head = self._head
        return "".join(f'{head},"type":"{r.type}","event":{r.event}}}\n' for r in records).encode()


class Output:
    """An append-only file, or standard output for `-`."""

    def __init__(self, target: str) -> None:
        """Open the target. Raises `OSError`."""
        if target == "-":
            self._fd = os.dup(sys.stdout.fileno())
        else:
            self._fd = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tollbar-output")
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._torn = False

    async def write(self, lines: bytes) -> None:
        """Append one batch; those that come in while another is being written go out together. Raises `OutputError`."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((lines, done))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_waiting())
        # The write goes on if this request is cancelled: its events are as good as accepted.
        await asyncio.shield(done)

    async def _write_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batches, self._waiting = self._waiting, []
                error = await loop.run_in_executor(self._thread, self._append, b"".join(b for b, _ in batches))
                for _, done in batches:
                    if done.cancelled():
                        continue
                    if error is None:
                        done.set_result(None)
                    else:
                        done.set_exception(error)
                        done.exception()  # a cancelled request looks no more: that is not worth a warning
        finally:
            self._writer = None

    def _append(self, data: bytes) -> OutputError | None:
        """Write all of it. After a write that failed half-way, the next one starts on a line of its own."""
        if self._torn:
            data = b"\n" + data
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            self._torn = self._torn or len(rest) < len(data)
            log.error("cannot write the output: %s", error.strerror)
            return OutputError(f"cannot write the output: {error.strerror}")
        self._torn = False
        return None

    async def close(self) -> None:
        """Write what is waiting, then close."""
        if self._writer is not None:
            await asyncio.wait([self._writer])
        self._thread.shutdown()
        os.close(self._fd)
