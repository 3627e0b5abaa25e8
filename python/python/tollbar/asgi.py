"""ASGI: Starlette, FastAPI, and whatever else speaks it.

```python
app = TollbarMiddleware(app, engine)
```

Invariants: a request that is let in is passed on with its own `receive` and `send`, nothing is buffered. WebSockets
and the lifespan are passed through. The application finds the `Client` in `scope["tollbar"]`, and as
`request.state.tollbar`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

from tollbar.http import Entry, Gate, Request, gate

if TYPE_CHECKING:
    from typing import Unpack

    from tollbar import Client, Decision, Engine
    from tollbar.http import Options, Response, Rule

__all__ = ["TollbarMiddleware", "request_of", "send_response"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class TollbarMiddleware:
    """Lets requests in, or answers them itself.

    `engine` is an `Engine`, with the options of `tollbar.http.Gate`, or a `Gate`.
    """

    def __init__(self, app: App, engine: Engine | Gate, **options: Unpack[Options]) -> None:
        self.app = app
        self.gate = gate(engine, options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        gate = self.gate
        rule = gate.only_rule
        if rule is None:
            rule = gate.rule(scope["method"], scope["path"])
            if rule is None:
                await self.app(scope, receive, send)
                return
        # What nearly all requests need, in as few steps as possible: `gate.enter_async` does the same for any of them.
        arguments = rule.arguments
        client = decision = None
        if arguments is not None:
            action, agent, service, cost, now, rum = arguments
            address = scope.get("client")
            peer = address[0] if address else gate.local_peer
            try:
                client, decision = gate.engine.enter(
                    None, peer, scope["headers"], action, agent, service, cost, now, rum
                )
            except (TypeError, ValueError):
                # A peer without an address: the gate puts another one in its place.
                client = None
        if not decision:
            client, decision = await self._unusual(scope, rule, client, decision)
            if not decision and rule.enforce:
                await send_response(gate.respond(request_of(scope), decision), send)
                return
        # The caller's scope is its own.
        scope = scope.copy() if type(scope) is dict else dict(scope)
        scope["tollbar"] = client
        state = scope.get("state")
        if state is None:
            scope["state"] = {"tollbar": client}
        else:
            state["tollbar"] = client
        if gate.ratelimit_headers and (headers := _encoded(gate.headers(decision))):
            send = _adding(headers, send)
        await self.app(scope, receive, send)

    async def _unusual(self, scope: Scope, rule: Rule, client: Client | None, decision: Decision | None) -> Entry:
        """Let a request in or not that was not let in at once, or not asked about."""
        gate = self.gate
        request = request_of(scope)
        if client is None or decision is None:
            return await gate.enter_async(request, rule)
        if client.pending:
            client = await gate.verified(client, request)
            return Entry(client, gate.decide(client, request, rule))
        gate.log(request, decision)
        return Entry(client, decision)


def request_of(scope: Scope) -> Request:
    """Return what a gate sees of a request."""
    address = scope.get("client")
    peer = address[0] if address else None
    return Request(scope["method"], scope["path"], scope["headers"], peer, scope.get("query_string", b""), scope)


async def send_response(response: Response, send: Send) -> None:
    """Send a response that is complete."""
    await send({"type": "http.response.start", "status": response.status, "headers": _encoded(response.headers)})
    await send({"type": "http.response.body", "body": response.body})


def _encoded(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _adding(headers: list[tuple[bytes, bytes]], send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *headers]}
        await send(message)

    return send_with_headers
