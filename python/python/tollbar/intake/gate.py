"""The steps that follow the middleware, and the answers that several routes give.

`tollbar.asgi` has let the request in (see `create_app`): its client is authenticated and was charged for one event,
and the RUM route is open. What is in the body is authorized and admitted here, by the same client.

Invariant: every refusal that the engine makes reaches the client as the decision has it: status, `WWW-Authenticate`,
`Retry-After`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from tollbar import http
from tollbar.intake.errors import IntakeError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from tollbar import Client, Decision

MAX_WAIT_SECONDS = 1.0
"""How long a batch may wait for room before it is refused."""


def client_of(request: Request) -> Client:
    """Return the client that the middleware let in."""
    client: Client = request.scope["tollbar"]
    return client


def require(decision: Decision) -> None:
    """Raise `RefusedError` unless the decision allows."""
    if not decision.allowed:
        raise RefusedError(decision)


async def make_room(client: Client, events: int, max_wait: float = MAX_WAIT_SECONDS) -> float:
    """Charge a batch before any event of it is accepted, and wait until it has room.

    Returns the seconds that were waited. Raises `RefusedError`.
    """
    decision = await client.wait(events, max_wait)
    require(decision)
    return decision.wait


def refusal_headers(error: IntakeError) -> dict[str, str]:
    """Return the headers that tell a client what to do about a refusal."""
    return http.refusal_headers(error.decision) if isinstance(error, RefusedError) else {}


def error_body(message: str) -> bytes:
    """Word a refusal as APM Server does: `{"error": …}`."""
    return json.dumps({"error": message}).encode() + b"\n"


def error_response(error: IntakeError) -> Response:
    """Return a refusal as APM Server writes it."""
    headers = {"X-Content-Type-Options": "nosniff", **refusal_headers(error)}
    return Response(error_body(error.message), error.status, headers, media_type="application/json")


def json_response(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Return JSON that no browser takes for anything else."""
    return Response(
        json.dumps(body) + "\n",
        status,
        {"X-Content-Type-Options": "nosniff", **(headers or {})},
        media_type="application/json",
    )


def empty_response(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response without a body."""
    return Response(b"", status, {"X-Content-Type-Options": "nosniff", **(headers or {})})
