"""OTLP over HTTP: `/v1/traces`, `/v1/metrics` and `/v1/logs`, protobuf and JSON.

Invariants: every resource is authorized by its own names and admitted as one batch before any of its events is
accepted. If some resources are refused, the answer is a partial success that says how many events and why; if all are,
it is the refusal. Answers are in the request's own content type.
"""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict, MessageToJson, ParseDict, ParseError
from google.protobuf.message import DecodeError, Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from starlette.responses import Response

from tollbar import http
from tollbar.intake.body import Body, OpenBodies
from tollbar.intake.errors import IntakeError, InvalidBodyError, RefusedError, UnsupportedError
from tollbar.intake.gate import (
    MAX_WAIT_SECONDS,
    client_of,
    error_body,
    error_response,
    make_room,
    refusal_headers,
    require,
)
from tollbar.intake.output import Origin, Output, Record
from tollbar.intake.v2 import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from tollbar import Client, Decision

MAX_BODY_BYTES = 8 * 1024 * 1024
"""The largest request, decompressed. Protobuf can't be read in pieces, so this much is held in memory."""

INLINE_BYTES = 32 * 1024
"""Larger requests are decoded and encoded in another thread, so that others aren't held up."""

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

_ID_KEYS = {"traceId": 16, "spanId": 8, "parentSpanId": 8}
_GRPC_CODES = {400: 3, 401: 16, 403: 7, 408: 4, 413: 3, 415: 3, 429: 8, 503: 14}
_MAX_DEPTH = 64
_MAX_WRITTEN_DEPTH = 200
"""Protobuf accepts 100 messages in each other, and each is written as an object, in a list at most."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One of the three kinds of telemetry, and where its request has what."""

    request: type[Message]
    response: type[Message]
    resources: str
    scopes: str
    items: str
    event_type: str
    rejected: str


SIGNALS = {
    "/v1/traces": Signal(
        trace_service_pb2.ExportTraceServiceRequest,
        trace_service_pb2.ExportTraceServiceResponse,
        "resource_spans",
        "scope_spans",
        "spans",
        "span",
        "rejected_spans",
    ),
    "/v1/metrics": Signal(
        metrics_service_pb2.ExportMetricsServiceRequest,
        metrics_service_pb2.ExportMetricsServiceResponse,
        "resource_metrics",
        "scope_metrics",
        "metrics",
        "metric",
        "rejected_data_points",
    ),
    "/v1/logs": Signal(
        logs_service_pb2.ExportLogsServiceRequest,
        logs_service_pb2.ExportLogsServiceResponse,
        "resource_logs",
        "scope_logs",
        "log_records",
        "log",
        "rejected_log_records",
    ),
}


def source_of(attributes: Any) -> Source:
    """Return a resource's names, as APM Server finds them."""
    found = {
        attribute.key: attribute.value.string_value
        for attribute in attributes
        if attribute.key in ("service.name", "telemetry.sdk.name", "telemetry.sdk.language")
    }
    agent = found.get("telemetry.sdk.name") or "otlp"
    language = found.get("telemetry.sdk.language")
    return Source(f"{agent}/{language}" if language else agent, found.get("service.name") or "unknown")


@dataclass(slots=True)
class _Outcome:
    accepted: int = 0
    rejected: int = 0
    reasons: list[str] = field(default_factory=list)
    refusal: RefusedError | None = None

    def refuse(self, refusal: RefusedError, events: int) -> None:
        self.rejected += events
        self.refusal = self.refusal or refusal
        if refusal.message not in self.reasons and len(self.reasons) < 5:
            self.reasons.append(refusal.message)


@dataclass(frozen=True, slots=True)
class OtlpRoute:
    """The endpoint of one signal."""

    output: Output
    open_bodies: OpenBodies
    signal: Signal

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        content_type = _media_type(request.headers.get("content-type"))
        client = client_of(request)
        try:
            if content_type not in (PROTOBUF, JSON):
                raise UnsupportedError(
                    f"unsupported content type {content_type[:80]!r}; accepted are {PROTOBUF} and {JSON}"
                )
            body = await Body(request.headers, request.receive, self.open_bodies).whole(MAX_BODY_BYTES)
            with body as data:
                export = await _elsewhere(len(data), self._decode, data, content_type)
                outcome = await self._accept(client, export, len(data))
        except IntakeError as error:
            return _error(error, content_type)
        if outcome.refusal is not None and not outcome.accepted:
            return _error(outcome.refusal, content_type)
        response: Any = self.signal.response()
        if outcome.rejected:
            setattr(response.partial_success, self.signal.rejected, outcome.rejected)
            response.partial_success.error_message = "; ".join(outcome.reasons)
        return _encoded(200, response, content_type)

    def _decode(self, data: bytes, content_type: str) -> Any:
        export = self.signal.request()
        try:
            if content_type == PROTOBUF:
                export.ParseFromString(data)
            else:
                document = json.loads(data)
                if not isinstance(document, dict):
                    raise ValueError("accepted is an object")
                _recode_ids(document, _id_from_hex, _MAX_DEPTH)
                ParseDict(document, export, ignore_unknown_fields=True, max_recursion_depth=_MAX_DEPTH)
        except (DecodeError, ParseError) as error:
            raise InvalidBodyError(f"failed to unmarshal request body: {_short(error)}") from None
        except RecursionError:
            raise InvalidBodyError("failed to unmarshal request body: nested too deeply") from None
        # SystemError: what protobuf's C code says of text that is no Unicode, where a message is expected.
        except (ValueError, TypeError, AttributeError, KeyError, OverflowError, SystemError) as error:
            raise InvalidBodyError(f"failed to unmarshal request body: invalid JSON: {_short(error)}") from None
        return export

    async def _accept(self, client: Client, export: Any, size: int) -> _Outcome:
        outcome = _Outcome()
        # All resources of a request together wait no longer than one batch may: the whole body is in memory.
        patience = MAX_WAIT_SECONDS
        for group in getattr(export, self.signal.resources):
            events = self._count(group)
            if not events:
                continue
            source = source_of(group.resource.attributes)
            try:
                require(client.authorize("ingest", agent=source.agent, service=source.service))
                # Encoded before it is charged: what can't be written costs nothing.
                records = await _elsewhere(size, lambda group=group: list(self._records(group)))
                patience -= await make_room(client, events, max(patience, 0.0))
            except RefusedError as refusal:
                outcome.refuse(refusal, events)
                continue
            origin = Origin(
                protocol="otlp",
                client=client.client,
                method=client.method,
                agent=source.agent,
                service=source.service,
            )
            await self.output.write(await _elsewhere(size, origin.lines, records))
            outcome.accepted += events
        return outcome

    def _count(self, group: Any) -> int:
        return sum(
            len(_points(item)) if self.signal.event_type == "metric" else 1
            for scope in getattr(group, self.signal.scopes)
            for item in getattr(scope, self.signal.items)
        )

    def _records(self, group: Any) -> Iterator[Record]:
        """Yield one record an event: a span, a log record, a metric's data point."""
        for scope in getattr(group, self.signal.scopes):
            name = {"scope": scope.scope.name} if scope.scope.name else {}
            for item in getattr(scope, self.signal.items):
                if self.signal.event_type == "metric":
                    about = {"name": item.name, "unit": item.unit, "kind": item.WhichOneof("data")}
                    for point in _points(item):
                        yield self._record({**name, **about, "point": _to_dict(point)})
                else:
                    yield self._record({**name, **_to_dict(item)})

    def _record(self, event: dict[str, Any]) -> Record:
        return Record(self.signal.event_type, json.dumps(event, separators=(",", ":"), allow_nan=False))


def _short(error: Exception) -> str:
    """Return what an error says, as text that can be sent: it may quote an unpaired surrogate of the body's."""
    return str(error)[:200].encode(errors="replace").decode()


async def _elsewhere(size: int, function: Any, *arguments: Any) -> Any:
    if size <= INLINE_BYTES:
        return function(*arguments)
    return await asyncio.to_thread(function, *arguments)


def _points(metric: Any) -> Any:
    kind = metric.WhichOneof("data")
    return getattr(metric, kind).data_points if kind else ()


def _to_dict(message: Message) -> dict[str, Any]:
    document: dict[str, Any] = MessageToDict(message)
    _recode_ids(document, _id_to_hex, _MAX_WRITTEN_DEPTH)
    return document


def _recode_ids(document: Any, recode: Any, levels: int) -> None:
    """Rewrite trace and span ids in place: OTLP spells them in hex where protobuf's JSON has base64."""
    if levels < 0:
        raise RecursionError
    if isinstance(document, list):
        for item in document:
            if isinstance(item, (dict, list)):
                _recode_ids(item, recode, levels - 1)
        return
    if not isinstance(document, dict):
        raise ValueError("accepted is a JSON object")
    for key, value in document.items():
        if key in _ID_KEYS and isinstance(value, str):
            document[key] = recode(key, value)
        elif isinstance(value, (dict, list)):
            _recode_ids(value, recode, levels - 1)


def _id_from_hex(key: str, value: str) -> str:
    raw = bytes.fromhex(value)
    if len(raw) not in (0, _ID_KEYS[key]):
        raise ValueError(f"{key} has {len(raw)} bytes; accepted are {_ID_KEYS[key]}, in hexadecimal")
    return base64.b64encode(raw).decode()


def _id_to_hex(_key: str, value: str) -> str:
    return base64.b64decode(value).hex()


def refusal(request: http.Request, decision: Decision) -> http.Content:
    """Word the refusal of a request that was not let in."""
    content_type = _media_type(request.header("content-type"))
    if content_type not in (PROTOBUF, JSON):
        return http.Content(JSON, error_body(decision.message))
    status = Status(code=decision.grpc_status, message=decision.message)
    return http.Content(content_type, _serialized(status, content_type))


def _media_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()


def _error(error: IntakeError, content_type: str) -> Response:
    """Return a `google.rpc.Status`, as OTLP has it; `{"error": …}` to those who don't speak it."""
    if content_type not in (PROTOBUF, JSON):
        return error_response(error)
    code = error.decision.grpc_status if isinstance(error, RefusedError) else _GRPC_CODES[error.status]
    return _encoded(error.status, Status(code=code, message=error.message), content_type, refusal_headers(error))


def _encoded(status: int, message: Message, content_type: str, headers: dict[str, str] | None = None) -> Response:
    body = _serialized(message, content_type)
    return Response(body, status, {"X-Content-Type-Options": "nosniff", **(headers or {})}, media_type=content_type)


def _serialized(message: Message, content_type: str) -> bytes:
    if content_type == PROTOBUF:
        return message.SerializeToString()
    return MessageToJson(message, indent=None).encode()
