"""Requests per second of Starlette on uvicorn: without a gate, with Tollbar's and with its peers', by wrk.

Every server has a wrk of its own. All but one pair are stopped at any time: they take turns of a tenth of a second, in
an order that is shuffled in every round, so that what the machine does meanwhile, it does to all. (Runs of seconds, one
after the other, differ by more than what is looked for: a shared machine's speed changes by half, for seconds.) All of
it is done a few times with new processes, since where a process's memory lies matters, too. There are two servers
without a gate: how far they are apart is how far the others' differences can be trusted.

Prints JSON: nanoseconds for a request.

`serving.py serve NAME PORT` is one of the servers. The application is one route that answers 202 with a short text,
as an intake does. Every request carries the token; anonymous ones are asked for apart. No server ever refuses: quotas
are out of reach.
"""

from __future__ import annotations

import argparse
import hmac
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from typing import Any

TOKEN = "correct-horse-battery-staple"
QUOTA = "1000000000/second"
BARE = "no gate"
AGAIN = "no gate, again"
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


GATES = {
    BARE: lambda app: app,
    AGAIN: lambda app: app,
    "tollbar": tollbar_gate,
    "slowapi": slowapi_gate,
    "limits": limits_gate,
}


def serve(name: str, port: int) -> None:
    """Runs one server, until it is ended."""
    import uvicorn

    uvicorn.run(application(name), port=port, loop="uvloop", http="httptools", access_log=False, log_level="error")


class Pair:
    """A server and the wrk that asks it. Stopped, but for its turns."""

    def __init__(self, name: str, *, anonymous: bool, seed: int) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        self.seconds = 0.0
        self.wrk: subprocess.Popen[str] | None = None
        # All hash their strings alike.
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        self.server = subprocess.Popen([sys.executable, __file__, "serve", name, str(port)], env=environment)
        try:
            wait_for(port)
            self._signal(signal.SIGSTOP)
            headers = [] if anonymous else ["-H", f"Authorization: Bearer {TOKEN}"]
            # It ends when it is told to, at the latest after half an hour; an answer may come several turns later.
            command = ["wrk", "-t1", "-c16", "-d30m", "--timeout", "10m", *headers, f"http://127.0.0.1:{port}/intake"]
            self.wrk = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            time.sleep(0.05)
            self._signal(signal.SIGSTOP)
        except BaseException:
            self.end()
            raise

    def turn(self, seconds: float) -> None:
        """Let both of them run for so long."""
        start = time.perf_counter()
        self._signal(signal.SIGCONT)
        time.sleep(seconds)
        self._signal(signal.SIGSTOP)
        self.seconds += time.perf_counter() - start

    def requests(self) -> int:
        """End wrk and return how many requests were answered. Raises if any answer was another one than 202."""
        if self.wrk is None:
            raise RuntimeError("wrk has ended already")
        self._signal(signal.SIGCONT)
        while True:
            # The first signal ends the asking, once an answer comes; sometimes it takes another one to end the waiting.
            self.wrk.send_signal(signal.SIGINT)
            try:
                said, _ = self.wrk.communicate(timeout=0.2)
                break
            except subprocess.TimeoutExpired:
                pass
        self.wrk = None
        found = re.search(r"(\d+) requests in", said)
        if found is None or "Non-2xx" in said or "Socket errors" in said:
            raise RuntimeError(said)
        return int(found[1])

    def end(self) -> None:
        """End both."""
        processes = self._processes()
        for process in processes:
            process.kill()
        for process in processes:
            process.wait(30)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes():
            process.send_signal(number)

    def _processes(self) -> list[subprocess.Popen[Any]]:
        return [self.server] if self.wrk is None else [self.server, self.wrk]


def measure(epochs: int, turns: int, seconds: float) -> dict[str, float]:
    """Return each one's nanoseconds for a request."""
    times = {}
    for anonymous in (False, True):
        spent = dict.fromkeys(GATES, 0.0)
        answered = dict.fromkeys(GATES, 0)
        for epoch in range(epochs):
            pairs: dict[str, Pair] = {}
            try:
                for name in random.sample(list(GATES), len(GATES)):
                    pairs[name] = Pair(name, anonymous=anonymous, seed=epoch)
                order = list(pairs.values())
                for _ in range(turns):
                    random.shuffle(order)
                    for pair in order:
                        pair.turn(seconds)
                for name, pair in pairs.items():
                    answered[name] += pair.requests()
                    spent[name] += pair.seconds
            finally:
                for pair in pairs.values():
                    pair.end()
        for name in GATES:
            times[name + ANONYMOUS * anonymous] = 1e9 * spent[name] / answered[name]
    return times


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
    parser.add_argument("--epochs", type=int, default=4, help="how often all processes are new")
    parser.add_argument("--turns", type=int, default=20, help="of every server, in an epoch")
    parser.add_argument("--seconds", type=float, default=0.1, help="that a turn takes")
    commands = parser.add_subparsers(dest="command")
    one = commands.add_parser("serve")
    one.add_argument("name", choices=list(GATES))
    one.add_argument("port", type=int)
    options = parser.parse_args()
    if options.command == "serve":
        serve(options.name, options.port)
    else:
        # Told to end, it ends the others first.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        print(json.dumps(measure(options.epochs, options.turns, options.seconds), indent=2))


if __name__ == "__main__":
    main()
