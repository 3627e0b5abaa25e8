"""`POST /intake/…/events`: a stream of events, admitted batch by batch as it is read.

Invariants: the stream is authorized before its first event is accepted, every batch is admitted before any event of it
is, and an event counts as accepted only once it has been written. Nothing complete is held back while the client is
waited for. Whatever ends the stream, what was accepted stays accepted and the answer says how many.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tollbar.intake.body import MAX_EVENT_BYTES, Body, Line, OpenBodies
from tollbar.intake.errors import IntakeError, InvalidBodyError, InvalidEventError, RefusedError
from tollbar.intake.gate import client_of, empty_response, json_response, make_room, refusal_headers, require
from tollbar.intake.output import Origin, Output
from tollbar.intake.v2 import Event, Source, read_event, read_metadata

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from tollbar import Client

BATCH_LINES = 10
"""As many lines are admitted and written together, at most."""

SHOWN_ERRORS = 5
"""The answer shows as many errors of single events; further ones are only reflected in the status."""

MAX_INVALID = 1000
"""A stream with more invalid events than this is cut: they cost time, but nobody is charged for them."""

ACCEPTED = 202


@dataclass(slots=True)
class Result:
    """What has become of a stream so far."""

    accepted: int = 0
    invalid: int = 0
    status: int = ACCEPTED
    errors: list[dict[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    def add(self, error: IntakeError, *, ends_stream: bool) -> None:
        """Note an error. The highest status wins; an error that ends the stream is always shown."""
        self.status = max(self.status, error.status)
        self.headers |= refusal_headers(error)
        if ends_stream or len(self.errors) < SHOWN_ERRORS:
            shown = {"message": error.message}
            if error.document is not None:
                shown["document"] = error.document
            self.errors.append(shown)

    def response(self, *, verbose: bool) -> Response:
        """Return the answer: its body is left out if all is well and nobody asked for it."""
        if self.status == ACCEPTED and not verbose:
            return empty_response(ACCEPTED)
        body: dict[str, object] = {"accepted": self.accepted}
        if self.errors:
            body["errors"] = self.errors
        return json_response(self.status, body, self.headers)


class _Stream:
    """One stream of an admitted client."""

    def __init__(self, client: Client, output: Output, result: Result) -> None:
        self._client = client
        self._output = output
        self._result = result
        self._origin: Origin | None = None
        self._source = Source(None, None)
        self._allowed: set[Source] = set()
        self._batch: list[Event] = []
        self._batch_size = 0

    async def take(self, line: Line) -> None:
        """Take one line: the metadata if it is the first, else an event. Raises `IntakeError` to end the stream."""
        if self._origin is None:
            metadata = read_metadata(line)
            self._authorize(metadata.source)
            self._origin = Origin(
                protocol=metadata.protocol,
                client=self._client.client,
                method=self._client.method,
                agent=metadata.source.agent,
                service=metadata.source.service,
            )
            self._source = metadata.source
            return
        try:
            event = read_event(line)
        except InvalidEventError as error:
            self._result.add(error, ends_stream=False)
            self._result.invalid += 1
            if self._result.invalid > MAX_INVALID:
                raise InvalidBodyError(f"more than {MAX_INVALID} events are invalid") from None
            return
        self._batch.append(event)
        self._batch_size += event.size
        if len(self._batch) >= BATCH_LINES or self._batch_size >= MAX_EVENT_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Admit and write the events that have been gathered. Raises `IntakeError` if the stream ends here."""
        batch, self._batch, self._batch_size = self._batch, [], 0
        if not batch:
            return
        try:
            await self._accept(batch)
        except RefusedError as refusal:
            if refusal.decision.reason != "exceeds_burst" or len(batch) == 1:
                raise
            # Together they are more than a small burst allows; one by one they may fit.
            for event in batch:
                await self._accept([event])

    async def _accept(self, batch: list[Event]) -> None:
        origin = self._origin
        if origin is None:  # pragma: no cover (events come after metadata)
            return
        for event in batch:
            for source in event.sources:
                self._authorize(Source(source.agent or self._source.agent, source.service or self._source.service))
        records = [record for event in batch for record in event.records]
        await make_room(self._client, len(records))
        await self._output.write(origin.lines(records))
        self._result.accepted += len(records)

    def _authorize(self, source: Source) -> None:
        if source in self._allowed:
            return
        require(self._client.authorize("ingest", agent=source.agent, service=source.service))
        if len(self._allowed) < BATCH_LINES:
            self._allowed.add(source)


@dataclass(frozen=True, slots=True)
class StreamRoute:
    """The endpoint of one event intake route."""

    output: Output
    open_bodies: OpenBodies

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        client = client_of(request)
        result = Result()
        try:
            content_type = request.headers.get("content-type", "")
            if content_type and "application/x-ndjson" not in content_type.lower():
                raise IntakeError(f"invalid content type: {content_type[:80]!r}; accepted is application/x-ndjson")
            await self._read(request, _Stream(client, self.output, result))
        except IntakeError as error:
            result.add(error, ends_stream=True)
        return result.response(verbose="verbose" in request.query_params)

    async def _read(self, request: Request, stream: _Stream) -> None:
        body = Body(request.headers, request.receive, self.open_bodies)
        try:
            async with aclosing(body.lines()) as lines:
                async for line in lines:
                    if line is None:
                        await stream.flush()
                    else:
                        await stream.take(line)
        except RefusedError:
            raise
        except Exception:
            # The body broke off; the lines before are complete, and get their chance.
            await stream.flush()
            raise
        await stream.flush()
