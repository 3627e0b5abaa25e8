"""gRPC: interceptors for servers, synchronous and asyncio.

```python
server = grpc.server(executor, interceptors=[TollbarInterceptor(engine)])
```

`AioTollbarInterceptor` is for `grpc.aio.server`. A rule's path is the full name of the method,
`/package.Service/Method`. The client of a call that was let in is `current_client()`.

Invariants: a call is let in before its first message is read. A refusal has the decision's code and sentence; one
that ends by itself says when, as OTLP asks (`RetryInfo`) and as gRPC's own retries do (`grpc-retry-pushback-ms`).
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from tollbar.http import Gate, Request, gate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Unpack

    from tollbar import Client, Decision, Engine
    from tollbar.http import Options, Rule

__all__ = ["AioTollbarInterceptor", "TollbarInterceptor", "current_client"]

_client: ContextVar[Client | None] = ContextVar("tollbar_client", default=None)

_CODES = {code.value[0]: code for code in grpc.StatusCode}


def current_client() -> Client:
    """Return the client of the call that is being served. Raises `LookupError` outside of one."""
    client = _client.get()
    if client is None:
        raise LookupError("no call that Tollbar let in is being served here")
    return client


class TollbarInterceptor(grpc.ServerInterceptor):  # type: ignore[type-arg]
    """Lets calls in. `engine` is an `Engine`, with the options of `tollbar.http.Gate`, or a `Gate`."""

    def __init__(self, engine: Engine | Gate, **options: Unpack[Options]) -> None:
        self.gate = gate(engine, options)

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """Put the gate before a method."""
        handler = continuation(handler_call_details)
        rule = self.gate.rule("POST", handler_call_details.method)
        if handler is None or rule is None:
            return handler

        def enter(context: Any) -> None:
            request = _request(handler_call_details, context)
            client, decision = self.gate.enter(request, rule)
            if not decision.allowed and rule.enforce:
                context.set_trailing_metadata(_trailing_metadata(decision))
                context.abort(_CODES[decision.grpc_status], decision.message)
            _client.set(client)

        def one(behaviour: Any) -> Any:
            def serve(message: Any, context: Any) -> Any:
                enter(context)
                return behaviour(message, context)

            return serve

        def many(behaviour: Any) -> Any:
            def serve(message: Any, context: Any) -> Any:
                enter(context)
                yield from behaviour(message, context)

            return serve

        return _wrapped(handler, one, many)


class AioTollbarInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Lets the calls of an asyncio server in. Awaits verdicts on API keys."""

    def __init__(self, engine: Engine | Gate, **options: Unpack[Options]) -> None:
        self.gate = gate(engine, options)

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """Put the gate before a method."""
        handler = await continuation(handler_call_details)
        rule = self.gate.rule("POST", handler_call_details.method)
        if handler is None or rule is None:
            return handler
        return _wrapped(handler, *_aio(self.gate, rule, handler_call_details))


def _aio(gate: Gate, rule: Rule, details: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    async def enter(context: Any) -> None:
        client, decision = await gate.enter_async(_request(details, context), rule)
        if not decision.allowed and rule.enforce:
            metadata = _trailing_metadata(decision)
            await context.abort(_CODES[decision.grpc_status], decision.message, metadata)
        _client.set(client)

    def one(behaviour: Any) -> Any:
        async def serve(message: Any, context: Any) -> Any:
            await enter(context)
            answer = behaviour(message, context)
            return await answer if hasattr(answer, "__await__") else answer

        return serve

    def many(behaviour: Any) -> Any:
        async def serve(message: Any, context: Any) -> Any:
            await enter(context)
            answers = behaviour(message, context)
            if hasattr(answers, "__aiter__"):
                async for answer in answers:
                    yield answer
            else:
                # It writes to the context itself.
                await answers

        return serve

    return one, many


def _wrapped(handler: Any, one: Callable[[Any], Any], many: Callable[[Any], Any]) -> Any:
    """Return the handler with another behaviour: `one` wraps those that answer once, `many` those that stream."""
    kinds = {
        (False, False): (grpc.unary_unary_rpc_method_handler, "unary_unary"),
        (False, True): (grpc.unary_stream_rpc_method_handler, "unary_stream"),
        (True, False): (grpc.stream_unary_rpc_method_handler, "stream_unary"),
        (True, True): (grpc.stream_stream_rpc_method_handler, "stream_stream"),
    }
    make, kind = kinds[bool(handler.request_streaming), bool(handler.response_streaming)]
    wrap = many if handler.response_streaming else one
    return make(
        wrap(getattr(handler, kind)),
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def _request(details: Any, context: Any) -> Request:
    # "ipv4:203.0.113.9:1234", "ipv6:[2001:db8::1]:1234" (or with %5B), "unix:…"
    scheme, _, address = unquote(context.peer()).partition(":")
    peer = address if scheme in ("ipv4", "ipv6") else None
    return Request("POST", details.method, details.invocation_metadata or (), peer, native=context)


def _trailing_metadata(decision: Decision) -> tuple[tuple[str, str | bytes], ...]:
    if decision.retry_after is None:
        return ()
    delay = Duration()
    delay.FromNanoseconds(round(decision.retry_after * 1e9))
    detail = AnyMessage()
    detail.Pack(RetryInfo(retry_delay=delay))
    status = Status(code=decision.grpc_status, message=decision.message, details=[detail])
    milliseconds = -int(-decision.retry_after * 1000 // 1)
    return (
        ("grpc-retry-pushback-ms", str(milliseconds)),
        ("grpc-status-details-bin", status.SerializeToString()),
    )
