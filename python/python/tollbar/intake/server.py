"""The process around the application: sockets, signals, and an orderly end.

Invariants: whatever is unusable is found before the first request is accepted. SIGHUP reloads. SIGTERM and SIGINT stop
accepting, let the requests in flight finish within the drain time-out, then end what is still being sent with an answer
that says how much was accepted; a second one ends at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from tollbar.intake.app import create_app, make_gate
from tollbar.intake.body import OpenBodies
from tollbar.intake.protocol import BoundedProtocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tollbar.intake.output import Output
    from tollbar.intake.reload import Reloader

log = logging.getLogger("tollbar.intake")

GRACE_SECONDS = 3
"""After the drain time-out, requests have this long to answer that they were cut off."""


class ListenError(Exception):
    """The address can't be listened on."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to serve."""

    idle_timeout: float = 30.0
    drain_timeout: float = 10.0
    max_connections: int = 1024


def listen(address: str) -> socket.socket:
    """Bind `HOST:PORT`, `[IPV6]:PORT`, `:PORT` (all interfaces) or `unix:PATH`. Raises `ListenError`."""
    try:
        if address.startswith("unix:"):
            return _listen_unix(Path(address.removeprefix("unix:")))
        return _listen_tcp(address)
    except OSError as error:
        raise ListenError(f"cannot listen on {address}: {error.strerror or error}") from error


def _listen_tcp(address: str) -> socket.socket:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ListenError(f"cannot listen on {address}: accepted are HOST:PORT, [IPV6]:PORT, :PORT and unix:PATH")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ListenError(f"cannot listen on {address}: write an IPv6 address in brackets, [::1]:8200")
    if not host:
        dual = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dual else socket.AF_INET
        return socket.create_server(("", int(port)), family=family, backlog=2048, dualstack_ipv6=dual)
    family, _, _, _, target = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return socket.create_server(target[:2], family=family, backlog=2048)


def _listen_unix(path: Path) -> socket.socket:
    if path.is_socket():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if probe.connect_ex(str(path)) == 0:
                raise ListenError(f"cannot listen on unix:{path}: another server is listening there")
        path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(path))
        sock.listen(2048)
    except BaseException:
        sock.close()
        raise
    return sock


def address_of(sock: socket.socket) -> str:
    """Return the address as it would be written in a URL."""
    if sock.family == socket.AF_UNIX:
        return f"unix:{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """uvicorn's server with signals handled by `serve`: a drained server has ended well, so its exit code is 0."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say where, once requests are accepted and signals handled."""
        await super().startup(sockets)
        for sock in sockets or ():
            log.info("listening on %s", address_of(sock))

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(reloader: Reloader, sock: socket.socket, output: Output, settings: Settings) -> None:
    """Serve until told to stop, then drain."""
    open_bodies = OpenBodies(settings.idle_timeout)
    gate = make_gate(reloader.engine)

    def end_requests() -> None:
        open_bodies.close()
        gate.close()

    server = _Server(
        uvicorn.Config(
            create_app(gate, output, open_bodies),
            http=BoundedProtocol,
            ws="none",
            lifespan="on",
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            limit_concurrency=settings.max_connections,
            timeout_graceful_shutdown=int(settings.drain_timeout) + GRACE_SECONDS,
        )
    )
    loop = asyncio.get_running_loop()
    background: set[asyncio.Task[object]] = set()

    def start(task: asyncio.Task[object]) -> None:
        background.add(task)
        task.add_done_callback(background.discard)

    def reload() -> None:
        start(loop.create_task(reloader.reload("SIGHUP")))

    def stop(name: str) -> None:
        if server.should_exit:
            log.warning("%s again: ending at once", name)
            server.force_exit = True
            end_requests()
            return
        log.info("%s: draining, for up to %g s", name, settings.drain_timeout)
        server.should_exit = True
        loop.call_later(settings.drain_timeout, end_requests)

    loop.add_signal_handler(signal.SIGHUP, reload)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number.name)
    start(loop.create_task(reloader.watch()))
    try:
        await server.serve(sockets=[sock])
    finally:
        for task in list(background):
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
    log.info("stopped")
