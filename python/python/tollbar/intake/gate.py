"""From a request to the engine, and from a decision to a response: the one place that knows both.

Invariants: credentials and client addresses are judged by the engine alone; Python passes the headers on unread. Every
refusal that the engine makes reaches the client as the decision has it: status, `WWW-Authenticate`, `Retry-After`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from tollbar.intake.errors import IntakeError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Scope

    from tollbar import Client, Decision, Engine

MAX_WAIT_SECONDS = 1.0
"""How long a batch may wait for room before it is refused."""

VERDICT_GRACE_SECONDS = 0.25
"""The verifier gives up by itself at the configured time; so much later nobody waits for it any more."""

UNIX_SOCKET_PEER = "127.0.0.1"
"""Whom a connection over a Unix socket counts as: its peer is on this machine. With 127.0.0.1 among `trusted_proxies`,
the forwarding headers of a proxy in front of the socket are believed."""


async def authenticate(engine: Engine, scope: Scope) -> Client:
    """Ask the engine who this is, and wait while an API key is verified, but no longer than the configuration allows.

    Never fails: a refused client answers every call with its refusal.
    """
    address = scope.get("client")
    peer = (address[0] if address else None) or UNIX_SOCKET_PEER
    client = engine.authenticate(peer=peer, headers=scope["headers"])
    if client.decision.pending:
        verified = engine.verify_async(peer=peer, headers=scope["headers"])
        # If it takes too long, the client is still pending: 503.
        with contextlib.suppress(asyncio.TimeoutError):
            client = await asyncio.wait_for(verified, engine.verification_timeout + VERDICT_GRACE_SECONDS)
    return client


async def enter(engine: Engine, scope: Scope, *, rum: bool) -> Client:
    """Check what needs no body, in this order: the credential, one event's charge, is the RUM route open.

    Raises `RefusedError`.
    """
    client = await authenticate(engine, scope)
    require(client.decision)
    require(client.admit(1))
    if rum:
        require(client.rum_route())
    return client


def require(decision: Decision) -> None:
    """Raise `RefusedError` unless the decision allows."""
    if not decision.allowed:
        raise RefusedError(decision)


async def make_room(client: Client, events: int, max_wait: float = MAX_WAIT_SECONDS) -> float:
    """Charge a batch before any event of it is accepted, and wait until it has room.

    Returns the seconds that were waited. Raises `RefusedError`.
    """
    decision = client.reserve(events, max_wait=max_wait)
    require(decision)
    if decision.wait > 0:
        await asyncio.sleep(decision.wait)
    return decision.wait


def refusal_headers(error: IntakeError) -> dict[str, str]:
    """Return the headers that tell a client what to do about a refusal."""
    headers = {}
    if isinstance(error, RefusedError):
        decision = error.decision
        if decision.www_authenticate is not None:
            headers["WWW-Authenticate"] = decision.www_authenticate
        if decision.retry_after_header is not None:
            headers["Retry-After"] = str(decision.retry_after_header)
    return headers


def error_response(error: IntakeError) -> Response:
    """Return a refusal as APM Server writes it: `{"error": …}`."""
    return json_response(error.status, {"error": error.message}, refusal_headers(error))


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
