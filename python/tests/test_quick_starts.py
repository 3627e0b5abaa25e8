"""The quick starts of the README, and the examples of the modules: not only do they run, they gate."""

from __future__ import annotations

import importlib
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import httpx
import pytest

import tollbar
from test_middlewares import _django, asgi_transport

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()
TOKEN = {"Authorization": "Bearer my-secret-token"}
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def quick_start(title: str) -> dict[str, Any]:
    """Run the first example of the README and that of a section; return what they define."""
    section = README.split(f"### {title}", 1)[1].split("\n##", 1)[0]
    names: dict[str, Any] = {}
    for example in (BLOCK.findall(README)[0], *BLOCK.findall(section)):
        exec(compile(example, title, "exec", dont_inherit=True), names)
    return names


async def assert_gated(transport: httpx.AsyncBaseTransport | httpx.BaseTransport, path: str, answer: str) -> None:
    async def post(headers: dict[str, str]) -> httpx.Response:
        if isinstance(transport, httpx.AsyncBaseTransport):
            async with httpx.AsyncClient(transport=transport, base_url="http://intake") as http:
                return await http.post(path, headers=headers)
        with httpx.Client(transport=transport, base_url="http://intake") as http_sync:
            return http_sync.post(path, headers=headers)  # noqa: ASYNC212 (it calls the application)

    allowed = await post(TOKEN)
    assert (allowed.status_code, allowed.text) == (200, answer)
    wrong = await post({"Authorization": "Bearer wrong"})
    assert (wrong.status_code, wrong.headers["content-type"]) == (401, "application/problem+json")
    anonymous = await post({})
    assert (anonymous.status_code, anonymous.json()["reason"]) == (403, "agent_not_allowed")


async def test_starlette() -> None:
    await assert_gated(asgi_transport(quick_start("Starlette")["app"]), "/events", "hello, secret_token")


async def test_fastapi() -> None:
    await assert_gated(asgi_transport(quick_start("FastAPI")["app"]), "/events", '"secret_token"')


async def test_flask() -> None:
    transport = httpx.WSGITransport(quick_start("Flask")["app"], remote_addr="198.51.100.7")
    await assert_gated(transport, "/events", "hello, secret_token")


async def test_django() -> None:
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler

    names = quick_start("Django")
    _django()
    assert names["MIDDLEWARE"] == settings.MIDDLEWARE
    settings.TOLLBAR = names["TOLLBAR"]
    transport = httpx.WSGITransport(WSGIHandler(), remote_addr="198.51.100.7")
    await assert_gated(transport, "/client", '{"method": "secret_token"}')


def test_grpc() -> None:
    server = quick_start("gRPC")["server"]
    handler = grpc.unary_unary_rpc_method_handler(lambda _message, _context: b"accepted")
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("intake", {"events": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            method: Any = channel.unary_unary
            call = method("/intake/events")
            assert call(b"", metadata=[("authorization", "Bearer my-secret-token")], timeout=20) == b"accepted"
            with pytest.raises(grpc.RpcError) as refused:
                call(b"", timeout=20)
            error: Any = refused.value
            assert error.code() == grpc.StatusCode.PERMISSION_DENIED
    finally:
        server.stop(None).wait()


@pytest.mark.parametrize("name", ["asgi", "wsgi", "fastapi", "flask", "django", "grpc", "prometheus", "otel"])
def test_the_examples_of_the_modules_run(name: str) -> None:
    import fastapi
    import flask
    import prometheus_client

    module = importlib.import_module(f"tollbar.{name}")
    example = "\n".join(BLOCK.findall(module.__doc__ or ""))
    assert example
    apps: dict[str, Any] = {"fastapi": fastapi.FastAPI(), "flask": flask.Flask("shop")}
    names: dict[str, Any] = {
        **vars(module),
        "app": apps.get(name, SimpleNamespace()),
        "engine": tollbar.Engine.from_str(""),
        "executor": ThreadPoolExecutor(1),
        "tollbar": tollbar,
        "REGISTRY": prometheus_client.CollectorRegistry(),
    }
    exec(compile(example, name, "exec", dont_inherit=True), names)
