"""Requests per second of Starlette on uvicorn: without a gate, with Tollbar's and with its peers', by wrk.

All servers run at once, and are asked in turn, several times round: what the machine does meanwhile, it does to all.
Prints JSON: the median of each, as nanoseconds for a request.

`serving.py serve NAME PORT` is one of the servers. The application is one route that answers 202 with a short text,
as an intake does. Every request carries the token; anonymous ones are asked for apart. No server ever refuses: quotas
are out of reach.
"""

from __future__ import annotations

import argparse
import hmac
import json
import re
import socket
import statistics
import subprocess
import sys
import time
from typing import Any

TOKEN = "correct-horse-battery-staple"
QUOTA = "1000000000/second"
BARE = "no gate"
ANONYMOUS = ", anonymous"


def application(name: str) -> Any:
    """The application behind the gate of this name."""
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def intake(_request: Any) -> PlainTextResponse:
        return PlainTextResponse("accepted", 202)

    app = Starlette(routes=[Route("/intake", intake, methods=["GET", "POST"])])
    return GATES[name](app)


def tollbar_gate(app: Any) -> Any:
    """Tollbar's middleware."""
    import tollbar
    from tollbar.asgi import TollbarMiddleware
    from tollbar.http import Rule

    engine = tollbar.Engine.from_str(
        f"apm-server.auth: {{secret_token: {TOKEN}, anonymous: {{enabled: true, allow_service: [shop], "
        "rate_limit: {ip_limit: 1000, event_limit: 1000000000}}}"
    )
    return TollbarMiddleware(app, engine, default=Rule(agent="rum-js", service="shop"))


def slowapi_gate(app: Any) -> Any:
    """Slowapi's ASGI middleware with a limit for every address. It knows no tokens."""
    from slowapi import Limiter
    from slowapi.middleware import SlowAPIASGIMiddleware
    from slowapi.util import get_remote_address

    app.state.limiter = Limiter(get_remote_address, default_limits=[QUOTA])
    app.add_middleware(SlowAPIASGIMiddleware)
    return app


def limits_gate(app: Any) -> Any:
    """The shortest ASGI middleware that compares a token and asks `limits` for the others: fixed window, in memory."""
    import limits
    from limits.aio.storage import MemoryStorage
    from limits.aio.strategies import FixedWindowRateLimiter

    limiter = FixedWindowRateLimiter(MemoryStorage())
    quota = limits.parse(QUOTA)
    expected = f"Bearer {TOKEN}".encode()

    async def gate(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            authorization = dict(scope["headers"]).get(b"authorization")
            allowed = (
                await limiter.hit(quota, scope["client"][0])
                if authorization is None
                else hmac.compare_digest(authorization, expected)
            )
            if not allowed:
                await send({"type": "http.response.start", "status": 429, "headers": []})
                await send({"type": "http.response.body"})
                return
        await app(scope, receive, send)

    return gate


GATES = {BARE: lambda app: app, "tollbar": tollbar_gate, "slowapi": slowapi_gate, "limits": limits_gate}


def serve(name: str, port: int) -> None:
    """Runs one server, until it is ended."""
    import uvicorn

    uvicorn.run(application(name), port=port, loop="uvloop", http="httptools", access_log=False, log_level="error")


def requests_per_second(port: int, seconds: float, *, anonymous: bool) -> float:
    """What wrk counts. Raises if any answer was another one than 202."""
    headers = [] if anonymous else ["-H", f"Authorization: Bearer {TOKEN}"]
    command = ["wrk", "-t1", "-c16", f"-d{seconds:g}s", *headers, f"http://127.0.0.1:{port}/intake"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in said:
        raise RuntimeError(said)
    found = re.search(r"Requests/sec:\s*([\d.]+)", said)
    if found is None:
        raise RuntimeError(said)
    return float(found[1])


def measure(rounds: int, seconds: float) -> dict[str, float]:
    """The median of each, in nanoseconds for a request."""
    ports: dict[str, int] = {}
    servers = []
    try:
        for name in GATES:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                ports[name] = probe.getsockname()[1]
            servers.append(subprocess.Popen([sys.executable, __file__, "serve", name, str(ports[name])]))
        for port in ports.values():
            wait_for(port)
        contests = [(name, anonymous) for anonymous in (False, True) for name in GATES]
        rates: dict[str, list[float]] = {name + ANONYMOUS * anonymous: [] for name, anonymous in contests}
        for turn in range(rounds):
            # Each is the first one, once in a while.
            start = turn % len(contests)
            for name, anonymous in contests[start:] + contests[:start]:
                rate = requests_per_second(ports[name], seconds, anonymous=anonymous)
                rates[name + ANONYMOUS * anonymous].append(rate)
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait(30)
    return {name: 1e9 / statistics.median(measured) for name, measured in rates.items()}


def wait_for(port: int) -> None:
    """Returns once somebody listens."""
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def main() -> None:
    """Does what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=1.0)
    commands = parser.add_subparsers(dest="command")
    one = commands.add_parser("serve")
    one.add_argument("name", choices=list(GATES))
    one.add_argument("port", type=int)
    options = parser.parse_args()
    if options.command == "serve":
        serve(options.name, options.port)
    else:
        print(json.dumps(measure(options.rounds, options.seconds), indent=2))


if __name__ == "__main__":
    main()
