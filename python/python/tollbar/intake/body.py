"""Request bodies: bytes from ASGI, decompressed step by step, cut into lines.

Invariants: memory is bounded whatever is sent. A body is held as one compressed chunk from the server, at most
`STEP` decompressed bytes, and (for ndjson) one line of at most `MAX_EVENT_BYTES`. A wait for the client ends after the
idle time-out, and a long computation lets other requests run between its steps.
"""

from __future__ import annotations

import asyncio
import zlib
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import anyio

from tollbar.intake.errors import (
    BodyTimeoutError,
    BodyTooLargeError,
    ClientGoneError,
    ClosingError,
    InvalidBodyError,
    OverloadedError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from starlette.datastructures import Headers
    from starlette.types import Receive

MAX_EVENT_BYTES = 300 * 1024
"""The largest event (one line) that is accepted, in bytes without its newline."""

STEP = 64 * 1024
"""How many bytes are decompressed at a time."""

MAX_RATIO = 250
"""A body that inflates by more than this is refused once it has passed `RATIO_FREE` bytes. Telemetry compresses to a
tenth or a fiftieth; DEFLATE at its limit reaches one in 1,032."""

RATIO_FREE = 4 * 1024 * 1024

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 31
_ZLIB_WINDOW = 15
_RAW_DEFLATE_WINDOW = -15


class Decoder(Protocol):
    """Turns the bytes of the wire into the bytes that were meant, a bounded step at a time."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decode `data` in steps of at most `STEP` bytes."""

    def finish(self) -> None:
        """Check that the data has come to its proper end."""


class _Identity:
    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), STEP):
            yield data[start : start + STEP]

    def finish(self) -> None:
        return


class _Inflate:
    """gzip (of any number of members), zlib and raw DEFLATE."""

    def __init__(self, name: str, window: int) -> None:
        self._name = name
        self._window = window
        self._inflater = zlib.decompressobj(window)
        self._started = False
        self._taken = 0
        self._given = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._taken += len(data)
        while data:
            if self._inflater.eof:
                self._next_member()
            self._started = True
            try:
                step = self._inflater.decompress(data, STEP)
            except zlib.error as error:
                message = f"the {self._name} body is damaged: {error}"
                raise InvalidBodyError(message) from None
            self._given += len(step)
            if self._given > max(RATIO_FREE, self._taken * MAX_RATIO):
                raise BodyTooLargeError(
                    f"the {self._name} body inflates to more than {MAX_RATIO} times its size; accepted is less"
                )
            data = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
            if step:
                yield step

    def _next_member(self) -> None:
        if self._window != _GZIP_WINDOW:
            raise InvalidBodyError(f"the {self._name} body has data after its end")
        self._inflater = zlib.decompressobj(self._window)

    def finish(self) -> None:
        if self._started and not self._inflater.eof:
            raise InvalidBodyError(f"the {self._name} body is truncated")


def _decoder(encoding: str, start: bytes) -> Decoder:
    """Choose by `Content-Encoding`; without one by the first two bytes, as APM Server does."""
    zlib_header = len(start) == 2 and start[0] & 0x0F == 8 and int.from_bytes(start, "big") % 31 == 0
    match encoding:
        case "gzip" | "x-gzip":
            return _Inflate("gzip", _GZIP_WINDOW)
        case "deflate":
            return _Inflate("deflate", _ZLIB_WINDOW if zlib_header else _RAW_DEFLATE_WINDOW)
        case "" | "identity":
            if start == _GZIP_MAGIC:
                return _Inflate("gzip", _GZIP_WINDOW)
            if zlib_header:
                return _Inflate("deflate", _ZLIB_WINDOW)
            return _Identity()
    raise UnsupportedError(f"unsupported content encoding {encoding[:40]!r}; accepted are gzip, deflate and identity")


class OpenBodies:
    """The bodies that are being read.

    Through it a server that shuts down ends them, and bodies that are held whole share one limit.
    """

    def __init__(self, idle_timeout: float = 30.0, whole_bytes: int = 64 * 1024 * 1024) -> None:
        self.idle_timeout = idle_timeout
        self._whole_bytes_left = whole_bytes
        self._waiting: set[anyio.CancelScope] = set()
        self._closed = False

    def close(self) -> None:
        """End every wait for a client: bodies that are still being read fail with `ClosingError`."""
        self._closed = True
        for scope in self._waiting:
            scope.cancel()

    async def wait(self, receive: Receive) -> tuple[bytes, bool]:
        """Return the next chunk, and whether there are more."""
        if self._closed:
            raise ClosingError("the server is shutting down")
        with anyio.move_on_after(self.idle_timeout) as scope:
            self._waiting.add(scope)
            try:
                message = await receive()
            finally:
                self._waiting.discard(scope)
        if scope.cancelled_caught:
            if self._closed:
                raise ClosingError("the server is shutting down")
            raise BodyTimeoutError(f"request timed out: nothing was sent for {self.idle_timeout:g} s")
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        return message.get("body", b""), message.get("more_body", False)

    def borrow(self, size: int) -> None:
        """Take `size` bytes out of what whole bodies may hold together."""
        if size > self._whole_bytes_left:
            raise OverloadedError("the server holds as many bodies as it can; try again later")
        self._whole_bytes_left -= size

    def give_back(self, size: int) -> None:
        """Return what was borrowed."""
        self._whole_bytes_left += size


class Body:
    """One request's body, decoded."""

    def __init__(self, headers: Headers, receive: Receive, open_bodies: OpenBodies) -> None:
        self._encoding = headers.get("content-encoding", "").strip().lower()
        self._receive = receive
        self._open = open_bodies

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the decoded body in steps of at most `STEP` bytes, and `b""` before each wait for the client."""
        decoder: Decoder | None = None
        head = b""
        more = True
        while more:
            yield b""
            data, more = await self._open.wait(self._receive)
            if decoder is None:
                head += data
                if len(head) < 2 and more:
                    continue
                decoder = _decoder(self._encoding, head[:2])
                data = head
            for step in decoder.feed(data):
                yield step
                await asyncio.sleep(0)
        if decoder is not None:
            decoder.finish()

    async def lines(self) -> AsyncGenerator[Line | None, None]:
        """Yield the body's lines that are not blank, and None where the client is waited for next: time to act."""
        splitter = _LineSplitter()
        async with aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                if not chunk:
                    yield None
                for line in splitter.feed(chunk):
                    yield line
        for line in splitter.finish():
            yield line

    async def whole(self, limit: int) -> WholeBody:
        """Return the decoded body at once, of at most `limit` bytes. Use it as a context manager."""
        whole = WholeBody(self._open)
        try:
            async with aclosing(self.chunks()) as chunks:
                async for chunk in chunks:
                    whole.extend(chunk, limit)
        except BaseException:
            whole.close()
            raise
        return whole


class WholeBody:
    """A body in memory; its size counts against `OpenBodies` until the context ends."""

    def __init__(self, open_bodies: OpenBodies) -> None:
        self._open = open_bodies
        self.data = bytearray()

    def extend(self, chunk: bytes, limit: int) -> None:
        """Append a chunk."""
        if len(self.data) + len(chunk) > limit:
            raise BodyTooLargeError(f"request body too large: accepted are up to {limit} bytes, decompressed")
        self._open.borrow(len(chunk))
        self.data += chunk

    def close(self) -> None:
        """Give the memory back."""
        self._open.give_back(len(self.data))
        self.data = bytearray()

    def __enter__(self) -> bytes:
        return bytes(self.data)

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Line:
    """One line of ndjson. If it is `too_long`, `data` is only its beginning."""

    data: bytes
    too_long: bool = False


class _LineSplitter:
    """Cuts chunks into lines. A line beyond the limit is dropped as it comes in; only its beginning is kept."""

    _KEPT = 512

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._limit = limit
        self._partial = bytearray()
        self._too_long = False

    def feed(self, chunk: bytes) -> Iterator[Line]:
        *complete, rest = chunk.split(b"\n")
        for piece in complete:
            if piece or self._partial:
                self._take(piece)
                yield from self.finish()
        self._take(rest)

    def finish(self) -> Iterator[Line]:
        """Yield what has been gathered, unless it is blank."""
        line = Line(bytes(self._partial), self._too_long)
        self._partial.clear()
        self._too_long = False
        if line.too_long or line.data.strip():
            yield line

    def _take(self, piece: bytes) -> None:
        if self._too_long:
            return
        if len(self._partial) + len(piece) > self._limit:
            self._too_long = True
            piece = piece[: self._KEPT]
            del self._partial[self._KEPT :]
        self._partial += piece
