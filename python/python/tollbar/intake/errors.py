"""What can end a request early, as types.

Invariant: the text of every one of them may be shown to the client; none holds a secret or a path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tollbar import Decision


class IntakeError(Exception):
    """A request, or the rest of it, is refused with `status`."""

    status = 400

    def __init__(self, message: str, *, document: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.document = document


class InvalidEventError(IntakeError):
    """One event is not valid; the stream goes on without it."""


class InvalidBodyError(IntakeError):
    """The body can't be read any further: bad compression, a bad metadata line, undecodable protobuf."""


class UnsupportedError(IntakeError):
    """A content type or content encoding that isn't accepted."""

    status = 415


class BodyTooLargeError(IntakeError):
    """The body is larger than the route reads into memory."""

    status = 413


class BodyTimeoutError(IntakeError):
    """The client sent nothing for too long."""

    status = 408


class OverloadedError(IntakeError):
    """The server lacks the memory for this body now."""

    status = 503


class ClosingError(IntakeError):
    """The server is shutting down and has waited long enough for this body."""

    status = 503


class OutputError(IntakeError):
    """The output can't be written, so nothing more can be accepted."""

    status = 503


class RefusedError(IntakeError):
    """The engine refused: the stream is cut, what was accepted before stays accepted."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.message)
        self.decision = decision
        self.status = decision.status


class ClientGoneError(Exception):
    """The client closed the connection in the middle of its request; there is nobody to answer."""
