"""The HTTP protocol of uvicorn, bounded where it isn't: how large a request's head may be, and how long it may take.

Invariants: a connection that hasn't sent a complete head costs at most `MAX_HEAD_BYTES`, what one read holds, and
`HEAD_TIMEOUT_SECONDS`; a head's fields hold at most `MAX_HEAD_BYTES`. What comes after the head adds no field to it:
trailers are read and dropped, and cost no more than a head does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

MAX_HEAD_BYTES = 64 * 1024
HEAD_TIMEOUT_SECONDS = 10.0


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle_bytes = 0
        self._field_bytes = 0
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock for the first head; later ones are under uvicorn's keep-alive time-out."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_SECONDS, self._refuse)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the clock."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count the bytes that complete nothing: the parser holds a field, of the head or a trailer, until it ends."""
        self._idle_bytes += len(data)
        super().data_received(data)
        if self._idle_bytes > MAX_HEAD_BYTES:
            self._refuse()

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._in_head = True
        self._field_bytes = 0
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_SECONDS, self._refuse)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head; drop one of the trailers, which uvicorn would take for a header."""
        if self._in_head:
            self._count(name, value)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End a head."""
        self._in_head = False
        self._idle_bytes = 0
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._idle_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._idle_bytes = 0
        super().on_message_complete()

    def _count(self, *parts: bytes) -> None:
        """Raise if a head that came in one read is too large: the parser ends there, and uvicorn answers 400."""
        self._field_bytes += sum(map(len, parts)) + 2 * len(parts)
        if self._field_bytes > MAX_HEAD_BYTES:
            raise ValueError(f"the head has more than {MAX_HEAD_BYTES} bytes")

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()
