"""`POST /assets/v1/sourcemaps`: source maps are checked and acknowledged, not kept.

Invariant: never anonymous. The upload streams through; of it only the short fields are held.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import python_multipart
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from tollbar.intake.body import Body, OpenBodies
from tollbar.intake.errors import BodyTooLargeError, IntakeError, InvalidBodyError
from tollbar.intake.gate import empty_response, error_response

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

MAX_UPLOAD_BYTES = 64 * 1024 * 1024
MAX_HEADER_BYTES = 8 * 1024
MAX_FIELDS = 16

_REQUIRED = ("bundle_filepath", "service_name", "service_version", "sourcemap")


class _Fields:
    """Gathers the names of the parts that aren't empty."""

    def __init__(self, boundary: bytes) -> None:
        self.filled: set[str] = set()
        self._name = ""
        self._parts = 0
        self._header = bytearray()
        self._value = bytearray()
        self.complete = False
        self.parser = python_multipart.MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begin,
                "on_part_data": self._part_data,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_end": self._end,
            },
        )

    def _part_begin(self) -> None:
        self._name = ""
        self._parts += 1
        if self._parts > MAX_FIELDS:
            raise InvalidBodyError(f"too many fields; accepted are up to {MAX_FIELDS}")

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._gather(self._header, data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._gather(self._value, data[start:end])

    @staticmethod
    def _gather(buffer: bytearray, data: bytes) -> None:
        if len(buffer) + len(data) > MAX_HEADER_BYTES:
            raise InvalidBodyError(f"a field's header is larger than {MAX_HEADER_BYTES} bytes")
        buffer += data

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._header.clear()
        self._value.clear()

    def _part_data(self, _data: bytes, start: int, end: int) -> None:
        if end > start and self._name in _REQUIRED:
            self.filled.add(self._name)

    def _end(self) -> None:
        self.complete = True


@dataclass(frozen=True, slots=True)
class SourcemapRoute:
    """The endpoint for uploads."""

    open_bodies: OpenBodies

    async def __call__(self, request: Request) -> Response:
        """Answer one request of a client that may upload."""
        try:
            await self._read(request)
        except IntakeError as error:
            return error_response(error)
        return empty_response(202)

    async def _read(self, request: Request) -> None:
        content_type = request.headers.get("content-type", "")
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise InvalidBodyError(
                f"invalid content type: {content_type[:80]!r}; accepted is multipart/form-data with a boundary"
            )
        fields = _Fields(boundary)
        size = 0
        body = Body(request.headers, request.receive, self.open_bodies)
        async with aclosing(body.chunks()) as chunks:
            async for chunk in chunks:
                size += len(chunk)
                if size > MAX_UPLOAD_BYTES:
                    raise BodyTooLargeError(f"request body too large: accepted are up to {MAX_UPLOAD_BYTES} bytes")
                try:
                    fields.parser.write(chunk)
                except FormParserError as error:
                    raise InvalidBodyError(f"the form data is damaged: {error}") from None
        if not fields.complete:
            raise InvalidBodyError("the form data is truncated")
        missing = [name for name in _REQUIRED if name not in fields.filled]
        if missing:
            raise InvalidBodyError(f"error validating sourcemap: {', '.join(missing)} must be sent")
