"""The Elastic APM intake protocols, line by line: v2 and RUM v3 (short keys).

Invariants: what is returned is what was checked. A line's first key alone decides what it is and nothing else of the
line is taken over; names are plain strings; an event is re-encoded as JSON that any parser reads alike.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from tollbar.intake.body import MAX_EVENT_BYTES
from tollbar.intake.errors import InvalidBodyError, InvalidEventError
from tollbar.intake.output import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tollbar.intake.body import Line

Json = dict[str, Any]

_SHOWN = 256
"""How many characters of a refused document are shown back to its sender."""

_EVENT_TYPES = {
    "transaction": "transaction",
    "span": "span",
    "error": "error",
    "metricset": "metricset",
    "log": "log",
    "x": "transaction",
    "e": "error",
}
_NESTED_IN_RUM_V3_TRANSACTION = {"y": "span", "me": "metricset"}


@dataclass(frozen=True, slots=True)
class Source:
    """Who is speaking: the names that an anonymous client must be allowed to use."""

    agent: str | None
    service: str | None


@dataclass(frozen=True, slots=True)
class Metadata:
    """The first line of a stream."""

    source: Source
    protocol: str


@dataclass(frozen=True, slots=True)
class Event:
    """One line of events: one event, or a RUM v3 transaction with its spans and metrics."""

    records: list[Record]
    size: int
    sources: set[Source] = field(default_factory=set)
    """Names by which parts of the event override the stream's; None where they don't."""


def read_metadata(line: Line) -> Metadata:
    """Read the first line. Raises `InvalidBodyError`: without it the stream can't be read."""
    try:
        key, body = _read(line)
        match key:
            case "metadata":
                service = _object(body, "service", "metadata")
                agent = _object(service, "agent", "metadata.service")
                source = Source(
                    _required_name(agent, "name", "metadata.service.agent"),
                    _required_name(service, "name", "metadata.service"),
                )
                return Metadata(source, "intake/v2")
            case "m":
                service = _object(body, "se", "m")
                agent = _object(service, "a", "m.se")
                source = Source(_required_name(agent, "n", "m.se.a"), _required_name(service, "n", "m.se"))
                return Metadata(source, "rum/v3")
        raise InvalidEventError('"metadata" or "m" required as the first line', document=_shown(line.data))
    except InvalidEventError as error:
        message = f"cannot read metadata in stream: {error.message}"
        raise InvalidBodyError(message, document=error.document) from None


def read_event(line: Line) -> Event:
    """Read one of the lines after the first. Raises `InvalidEventError`."""
    key, body = _read(line)
    event_type = _EVENT_TYPES.get(key)
    if event_type is None:
        accepted = ", ".join(_EVENT_TYPES)
        raise InvalidEventError(
            f'did not recognize object type: "{_shown_text(key[:40])}"; accepted are {accepted}',
            document=_shown(line.data),
        )
    sources = {source for source in _overrides(key, body) if source != Source(None, None)}
    try:
        records = list(_records(key, event_type, body))
    except ValueError:
        # A number such as 1e999 is JSON, but no finite float.
        raise InvalidEventError("a number is out of range", document=_shown(line.data)) from None
    return Event(records, len(line.data), sources)


def _records(key: str, event_type: str, body: Json) -> Iterator[Record]:
    """Yield one record an event: a RUM v3 transaction carries its spans and metrics inside."""
    nested: list[tuple[str, Json]] = []
    if key == "x":
        ids = {"trace_id": body.get("tid"), "transaction_id": body.get("id")}
        for inner, inner_type in _NESTED_IN_RUM_V3_TRANSACTION.items():
            nested += [(inner_type, {**item, **ids}) for item in _items(body, inner)]
        body = {name: value for name, value in body.items() if name not in _NESTED_IN_RUM_V3_TRANSACTION}
    for record_type, event in [(event_type, body), *nested]:
        yield Record(record_type, json.dumps(event, separators=(",", ":"), allow_nan=False))


def _overrides(key: str, body: Json) -> Iterator[Source]:
    """Yield the names that an event itself, or a part of it, goes by.

    APM Server prefers them to the metadata's, so an anonymous client must be allowed to use them too.
    """
    match key:
        case "x" | "e":
            for part in [body, *_items(body, "y")] if key == "x" else [body]:
                service = _maybe(_maybe(part, "c"), "se")
                yield Source(_name(_maybe(service, "a"), "n"), _name(service, "n"))
        case "metricset":
            yield Source(None, _name(_maybe(body, "service"), "name"))
        case "log":
            yield Source(None, _name(body, "service.name") or _name(_maybe(body, "service"), "name"))
        case _:
            service = _maybe(_maybe(body, "context"), "service")
            yield Source(_name(_maybe(service, "agent"), "name"), _name(service, "name"))


def _read(line: Line) -> tuple[str, Json]:
    """Parse a line: a JSON object, whose first key says what it is."""
    if line.too_long:
        raise InvalidEventError(
            f"event exceeded the permitted size of {MAX_EVENT_BYTES} bytes", document=_shown(line.data)
        )
    try:
        document = json.loads(line.data.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise InvalidEventError(
            f"invalid UTF-8 at byte {error.start + 1}: accepted are lines of JSON", document=_shown(line.data)
        ) from None
    except RecursionError:
        raise InvalidEventError("the JSON is nested too deeply", document=_shown(line.data)) from None
    except json.JSONDecodeError as error:
        raise InvalidEventError(
            f"invalid JSON: {error.msg} at column {error.colno}", document=_shown(line.data)
        ) from None
    except ValueError as error:
        raise InvalidEventError(f"invalid JSON: {error}", document=_shown(line.data)) from None
    if not isinstance(document, dict) or not document:
        raise InvalidEventError("accepted is a JSON object with one key, the event's type", document=_shown(line.data))
    key, body = next(iter(document.items()))
    if not isinstance(body, dict):
        raise InvalidEventError(f'"{_shown_text(key[:40])}" must be a JSON object', document=_shown(line.data))
    return key, body


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _object(parent: Json, key: str, path: str) -> Json:
    value = parent.get(key)
    if not isinstance(value, dict):
        raise InvalidEventError(f"validation error: '{path}.{key}' must be an object")
    return value


def _required_name(parent: Json, key: str, path: str) -> str:
    name = _name(parent, key)
    if name is None:
        raise InvalidEventError(f"validation error: '{path}.{key}' must be a string that is not empty")
    return name


def _name(parent: Json, key: str) -> str | None:
    value = parent.get(key)
    return _shown_text(value) if isinstance(value, str) and value else None


def _maybe(parent: Json, key: str) -> Json:
    value = parent.get(key)
    return value if isinstance(value, dict) else {}


def _items(parent: Json, key: str) -> list[Json]:
    value = parent.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InvalidEventError(f"validation error: '{key}' must be a list of objects")
    return value


def _shown_text(text: str) -> str:
    """Return text that can be encoded: JSON can spell half a surrogate pair, UTF-8 can't."""
    return text.encode("utf-8", "replace").decode()


def _shown(document: bytes) -> str:
    return document[:_SHOWN].decode("utf-8", "replace")
