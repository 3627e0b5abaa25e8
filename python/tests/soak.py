"""A soak: requests of all kinds through Starlette and the middleware, in process, and what memory they leave behind.

`python tests/soak.py [REQUESTS]`, 10 million if not said. The first tenth, at most 200,000, is the warm-up: caches,
rings and pools are filled then. What grows afterwards is a leak, however small: three measures have to stand still,
Python's blocks, the bytes that `malloc` has given out, and the pages of the process.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import sys
from pathlib import Path
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.requests import Request  # noqa: TC002
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tollbar import Engine
from tollbar.asgi import TollbarMiddleware
from tollbar.http import Gate, Rule, from_header

TOKEN = "correct-horse-battery-staple"
YAML = f"""
apm-server:
  auth:
    secret_token: {TOKEN}
    api_key: {{enabled: true, limit: 50}}
    anonymous: {{enabled: true, allow_service: [shop], rate_limit: {{ip_limit: 20, event_limit: 1}}}}
  rum.enabled: true
tollbar.trusted_proxies: [10.0.0.0/8]
"""
PAGE = 4096


class Memory(NamedTuple):
    """What the process holds."""

    blocks: int
    malloc_bytes: int
    resident_bytes: int

    @classmethod
    def now(cls) -> Memory:
        """Measure, after a full collection."""
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(sys.getallocatedblocks(), _malloc_bytes(), pages * PAGE)


def _malloc_bytes() -> int:
    """Return the bytes that glibc's `malloc` has given out and not got back, of all arenas."""

    class Mallinfo2(ctypes.Structure):
        _fields_ = tuple(
            (name, ctypes.c_size_t)
            for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "f", "k")
        )

    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = Mallinfo2
    found = mallinfo2()
    return int(found.uordblks + found.hblkhd)


async def intake(request: Request) -> PlainTextResponse:
    """Read a body in pieces, admitted one by one."""
    client = request.state.tollbar
    client.authorize("ingest", agent="rum-js", service="theirs")
    async for chunk in request.stream():
        if chunk and not client.admit(1).allowed:
            return PlainTextResponse("slower", 429)
    return PlainTextResponse("accepted", 202)


def application() -> TollbarMiddleware:
    """Make the application behind its gate."""
    engine = Engine.from_str(YAML)
    engine.set_verifier(lambda id, _key: ["event:write"] if id.startswith("good") else None)  # noqa: A006
    logger = logging.getLogger("tollbar.soak")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
    rules = {
        "/rum": Rule(rum=True, agent="rum-js", service=from_header("x-service")),
        "/steps": Rule(authorize=False),
        "/maps": Rule(action="sourcemap"),
    }
    gate = Gate(engine, rules=rules, skip=["/health"], ratelimit_headers=True, logger=logger)
    paths = [*rules, "/health", "/"]
    app = Starlette(routes=[Route(path, intake if path == "/steps" else answer, methods=["POST"]) for path in paths])
    return TollbarMiddleware(app, gate)


async def answer(_request: Request) -> PlainTextResponse:
    """Accept."""
    return PlainTextResponse("accepted", 202)


def kinds() -> list[dict[str, Any]]:
    """Make requests of all kinds: each route, each credential, more addresses and keys than there is room for."""
    import base64

    requests = []
    for number in range(3000):
        key = base64.b64encode(f"{'good' if number % 3 else 'bad'}-{number % 150}:secret".encode())
        credentials: list[bytes | None] = [
            None,
            None,
            None,
            f"Bearer {TOKEN}".encode(),
            b"Bearer wrong",
            b"ApiKey " + key,
            b"Basic x",
            b"nonsense",
        ]
        credential = credentials[number % 8]
        headers = [(b"host", b"intake"), (b"x-service", b"shop" if number % 5 else b"theirs")]
        if credential is not None:
            headers.append((b"authorization", credential))
        if number % 7 == 0:
            headers.append((b"x-forwarded-for", f"2001:db8:{number:x}::1".encode()))
        requests.append(
            {
                "type": "http",
                "http_version": "1.1",
                "method": "POST",
                "scheme": "http",
                "path": ("/rum", "/steps", "/maps", "/health", "/", "/unknown")[number % 6],
                "root_path": "",
                "query_string": b"",
                "headers": headers,
                "client": (f"10.{number % 11}.{number // 250}.{number % 250}", 1234),
                "server": ("intake", 80),
            }
        )
    return requests


async def soak(requests: int) -> tuple[Memory, Memory]:
    """Serve this many requests; return what was held after the warm-up and at the end."""
    app = application()
    scopes = kinds()
    chunks = [{"type": "http.request", "body": b"event\n", "more_body": True}] * 2
    statuses: dict[int, int] = {}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses[message["status"]] = statuses.get(message["status"], 0) + 1

    async def serve(number: int) -> None:
        body = iter([*chunks, {"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> Any:
            return next(body)

        await app(dict(scopes[number % len(scopes)]), receive, send)
        if number % 50 == 0:
            # Whatever was left to the loop, such as bodies that were not read to their end, gets its turn.
            await asyncio.sleep(0)

    warm_up = min(requests // 10, 200_000)
    for number in range(warm_up):
        await serve(number)
    await asyncio.sleep(0.1)
    before = Memory.now()
    for number in range(warm_up, requests):
        await serve(number)
    await asyncio.sleep(0.1)
    after = Memory.now()
    missing = {202, 401, 403, 404, 429} - statuses.keys()
    if missing:
        raise AssertionError(f"no request was answered {missing}: {statuses}")
    return before, after


def main() -> int:
    """Soak, print what was found, and say whether it is nothing."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    before, after = asyncio.run(soak(requests))
    print(f"{requests} requests")  # noqa: T201
    for name in Memory._fields:
        grown = getattr(after, name) - getattr(before, name)
        print(f"{name}: {getattr(before, name)} -> {getattr(after, name)} ({grown:+})")  # noqa: T201
    return 0 if stands_still(before, after) else 1


def stands_still(before: Memory, after: Memory) -> bool:
    """Say whether nothing has grown by more than a few verdicts under way, whatever the number of requests."""
    return (
        after.blocks - before.blocks < 500
        and after.malloc_bytes - before.malloc_bytes < 128 * 1024
        and after.resident_bytes - before.resident_bytes < 1024 * 1024
    )


if __name__ == "__main__":
    sys.exit(main())
