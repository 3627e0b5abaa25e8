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
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from tollbar.http import Gate, Request, gate

if TYPE_CHECKING:
    from typing import Unpack

    from tollbar import Client, Decision, Engine
    from tollbar.http import Options, Response, Rule

__all__ = ["TollbarMiddleware", "request_of", "send_response"]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Entered: TypeAlias = "dict[str, Any] | tuple[Client, Decision] | None"
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class TollbarMiddleware:
    """Lets requests in, or answers them itself.

    `engine` is an `Engine`, with the options of `tollbar.http.Gate`, or a `Gate`.
    """

    def __init__(self, app: App, engine: Engine | Gate, **options: Unpack[Options]) -> None:
        self.app = app
        self.gate = gate(engine, options)
        only = self.gate.only_rule
        # One question for all routes: nothing has to be looked up when a request comes.
        self._enter = self._asks(only) if only is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        enter = self._enter
        entered = enter(scope) if enter is not None else None
        if type(entered) is dict:
            # Of nearly all requests, that is all there is to do: `Gate.enter_async` does the same for any of them.
            await self.app(entered, receive, send)
        else:
            await self._serve(scope, receive, send, entered)

    def _asks(self, rule: Rule) -> Callable[[Scope], Entered] | None:
        """Return the one call by which a request of this rule is let in, if there is one."""
        gate = self.gate
        if rule.question is None or gate.ratelimit_headers:
            return None
        return partial(gate.engine.enter_scope, rule.question, gate.local_peer)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, entered: Entered) -> None:
        """Serve a connection that was not let in at once."""
        gate = self.gate
        rule = gate.only_rule or gate.rule(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if rule is None:
            await self.app(scope, receive, send)
            return
        if self._enter is None and (enter := self._asks(rule)) is not None:
            entered = enter(scope)
            if type(entered) is dict:
                await self.app(entered, receive, send)
                return
        request = request_of(scope)
        if not isinstance(entered, tuple):
            client, decision = await gate.enter_async(request, rule)
        else:
            client, decision = entered
            if client.pending:
                client, decision = await gate.enter_verified(client, request, rule)
            else:
                gate.log(request, decision)
        if not decision and rule.enforce:
            await send_response(gate.respond(request, decision), send)
            return
        # The caller's scope is its own.
        scope = {**scope, "tollbar": client}
        if scope.get("state") is None:
            scope["state"] = {}
        scope["state"]["tollbar"] = client
        if headers := _encoded(gate.headers(decision)):
            send = _adding(headers, send)
        await self.app(scope, receive, send)


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
