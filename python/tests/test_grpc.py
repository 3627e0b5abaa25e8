"""`tollbar.grpc`: real servers and channels, synchronous and asyncio, of all four kinds of methods."""

from __future__ import annotations

import asyncio
from concurrent import futures
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from conftest import TOKEN, YAML
from tollbar import Engine
from tollbar.grpc import AioTollbarInterceptor, TollbarInterceptor, current_client
from tollbar.http import Rule

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

AUTH = (("authorization", f"Bearer {TOKEN}"),)
KINDS = ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]
RULES = {"/intake/maps": Rule(action="sourcemap"), "/intake/free": None}


def who() -> bytes:
    return str(current_client().method).encode()


def handlers() -> dict[str, Any]:
    """Return what answers with the method of the client, once or twice."""

    def one(_message: Any, _context: Any) -> bytes:
        return who()

    def many(_message: Any, _context: Any) -> Iterator[bytes]:
        yield who()
        yield who()

    return {
        "unary_unary": grpc.unary_unary_rpc_method_handler(one),
        "unary_stream": grpc.unary_stream_rpc_method_handler(many),
        "stream_unary": grpc.stream_unary_rpc_method_handler(one),
        "stream_stream": grpc.stream_stream_rpc_method_handler(many),
        "maps": grpc.unary_unary_rpc_method_handler(one),
        "free": grpc.unary_unary_rpc_method_handler(lambda _message, _context: b"free"),
    }


def aio_handlers() -> dict[str, Any]:
    async def one(_message: Any, _context: Any) -> bytes:
        return who()

    async def many(_message: Any, _context: Any) -> AsyncIterator[bytes]:
        yield who()
        yield who()

    async def writes(_message: Any, context: Any) -> None:
        await context.write(who())
        await context.write(who())

    return handlers() | {
        "unary_unary": grpc.unary_unary_rpc_method_handler(one),
        "unary_stream": grpc.unary_stream_rpc_method_handler(many),
        "stream_unary": grpc.stream_unary_rpc_method_handler(one),
        "stream_stream": grpc.stream_stream_rpc_method_handler(writes),
    }


def make_engine() -> Engine:
    engine = Engine.from_str(YAML)
    engine.set_verifier(lambda id, _key: ["event:write"] if id == "id" else None)  # noqa: A006
    return engine


@contextmanager
def serving() -> Iterator[grpc.Channel]:
    interceptor = TollbarInterceptor(make_engine(), rules=RULES, logger=None)
    server = grpc.server(futures.ThreadPoolExecutor(4), interceptors=[interceptor])
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("intake", handlers())])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        server.stop(None).wait()


def call(channel: grpc.Channel, kind: str, metadata: Any = (), name: str | None = None) -> list[bytes]:
    """Call a method; return its answers."""
    method = getattr(channel, kind)(f"/intake/{name or kind}")
    message: Any = iter([b"a", b"b"]) if kind.startswith("stream") else b"a"
    answer = method(message, metadata=metadata, timeout=20)
    return list(answer) if kind.endswith("stream") else [answer]


@pytest.mark.parametrize("kind", KINDS)
def test_the_method_knows_its_client(kind: str) -> None:
    answers = 2 if kind.endswith("stream") else 1
    with serving() as channel:
        assert call(channel, kind, AUTH) == [b"secret_token"] * answers
        assert call(channel, kind, (("authorization", "ApiKey aWQ6c2VjcmV0"),)) == [b"api_key"] * answers
        assert call(channel, kind) == [b"anonymous"] * answers


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_credential_is_unauthenticated(kind: str) -> None:
    with serving() as channel, pytest.raises(grpc.RpcError) as refused:
        call(channel, kind, (("authorization", "Bearer wrong"),))
    error: Any = refused.value
    assert error.code() == grpc.StatusCode.UNAUTHENTICATED
    assert "wrong" not in error.details()


def test_rules_are_by_method() -> None:
    with serving() as channel:
        assert call(channel, "unary_unary", (("authorization", "Bearer wrong"),), "free") == [b"free"]
        with pytest.raises(grpc.RpcError) as refused:
            call(channel, "unary_unary", name="maps")
        error: Any = refused.value
        assert error.code() == grpc.StatusCode.PERMISSION_DENIED
        with pytest.raises(grpc.RpcError) as unknown:
            call(channel, "unary_unary", name="unknown")
        error = unknown.value
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED


def assert_says_when(error: Any) -> None:
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    metadata = dict(error.trailing_metadata())
    assert 0 < int(metadata["grpc-retry-pushback-ms"]) <= 1000
    status = Status.FromString(metadata["grpc-status-details-bin"])
    assert (status.code, status.message) == (8, error.details())
    retry = RetryInfo()
    assert status.details[0].Unpack(retry)
    assert 0 < retry.retry_delay.ToNanoseconds() <= 1e9


def test_the_rate_limit_says_when_to_come_back() -> None:
    def flood(channel: grpc.Channel) -> None:
        for _ in range(1000):
            call(channel, "unary_unary")

    with serving() as channel, pytest.raises(grpc.RpcError) as refused:
        flood(channel)
    assert_says_when(refused.value)


def test_there_is_no_client_outside_of_a_call() -> None:
    with pytest.raises(LookupError):
        current_client()


@asynccontextmanager
async def serving_aio() -> AsyncIterator[tuple[grpc.aio.Channel, int]]:
    interceptor = AioTollbarInterceptor(make_engine(), rules=RULES, logger=None)
    server = grpc.aio.server(interceptors=[interceptor])
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("intake", aio_handlers())])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel, port
    finally:
        await server.stop(None)


async def call_aio(channel: Any, kind: str, metadata: Any = (), name: str | None = None) -> list[bytes]:
    method = getattr(channel, kind)(f"/intake/{name or kind}")
    message: Any = iter([b"a", b"b"]) if kind.startswith("stream") else b"a"
    answer = method(message, metadata=metadata, timeout=20)
    return [one async for one in answer] if kind.endswith("stream") else [await answer]


@pytest.mark.parametrize("kind", KINDS)
async def test_aio_the_method_knows_its_client(kind: str) -> None:
    answers = 2 if kind.endswith("stream") else 1
    async with serving_aio() as (channel, port):
        assert await call_aio(channel, kind, AUTH) == [b"secret_token"] * answers
        assert await call_aio(channel, kind, (("authorization", "ApiKey aWQ6c2VjcmV0"),)) == [b"api_key"] * answers
        assert await call_aio(channel, kind) == [b"anonymous"] * answers

        def wrong() -> None:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as other:
                call(other, kind, (("authorization", "Bearer wrong"),))

        # By the other client: asyncio's says "Internal error" of a stream that is refused while it still sends.
        with pytest.raises(grpc.RpcError) as refused:
            await asyncio.to_thread(wrong)
    error: Any = refused.value
    assert error.code() == grpc.StatusCode.UNAUTHENTICATED


async def test_aio_rules_limits_and_synchronous_methods() -> None:
    async with serving_aio() as (channel, _port):
        assert await call_aio(channel, "unary_unary", AUTH, "free") == [b"free"]

        async def flood() -> None:
            for _ in range(1000):
                await call_aio(channel, "unary_unary")

        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await flood()
    assert_says_when(refused.value)
