"""What the tests share: engines, an in-process client, and a real server in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tollbar import Engine
from tollbar.intake import create_app
from tollbar.intake.body import OpenBodies
from tollbar.intake.output import Output

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

TOKEN = "correct-horse-battery-staple"
COMMAND = [sys.executable, "-m", "tollbar.intake"]
AUTH = {"Authorization": f"Bearer {TOKEN}"}
NDJSON = {"Content-Type": "application/x-ndjson"}

CONFIG = f"""\
apm-server:
  auth:
    secret_token: {TOKEN}
    anonymous:
      enabled: true
      allow_agent: [rum-js]
      allow_service: [my-frontend]
      rate_limit: {{ip_limit: 100, event_limit: 100}}
  rum.enabled: true
"""

# Credentials of every kind, and anonymous clients of any agent, with a burst of three events.
YAML = f"""
apm-server:
  auth:
    secret_token: {TOKEN}
    api_key.enabled: true
    anonymous: {{enabled: true, allow_agent: [], rate_limit: {{ip_limit: 10, event_limit: 1}}}}
"""

METADATA = {"metadata": {"service": {"name": "my-frontend", "agent": {"name": "rum-js", "version": "1.0"}}}}
METADATA_V3 = {"m": {"se": {"n": "my-frontend", "a": {"n": "rum-js", "ve": "1.0"}}}}


def transaction(number: int = 0) -> dict[str, Any]:
    return {"transaction": {"id": f"{number:016x}", "trace_id": f"{number:032x}", "type": "request", "duration": 1.5}}


def ndjson(*documents: Any) -> bytes:
    return b"".join(json.dumps(document).encode() + b"\n" for document in documents)


def config(event_limit: int = 100, ip_limit: int = 100, *, rum: bool = True, extra: str = "") -> str:
    return (
        CONFIG.replace("event_limit: 100", f"event_limit: {event_limit}")
        .replace("ip_limit: 100", f"ip_limit: {ip_limit}")
        .replace("rum.enabled: true", f"rum.enabled: {str(rum).lower()}")
    ) + extra


@dataclass
class Ingestor:
    """The application in this process."""

    engine: Engine
    http: httpx.AsyncClient
    file: Path

    def written(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()]


@asynccontextmanager
async def ingestor(
    yaml: str, directory: Path, *, idle_timeout: float = 5.0, peer: str = "198.51.100.7"
) -> AsyncIterator[Ingestor]:
    engine = Engine.from_str(yaml)
    file = directory / "events.ndjson"
    output = Output(str(file))
    app = create_app(engine, output, OpenBodies(idle_timeout))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(output.close)
        transport = httpx.ASGITransport(app, client=(peer, 40000), raise_app_exceptions=True)
        http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://intake"))
        yield Ingestor(engine, http, file)


@pytest.fixture
async def intake(tmp_path: Path) -> AsyncIterator[Ingestor]:
    async with ingestor(CONFIG, tmp_path) as one:
        yield one


@dataclass
class Server:
    """`python -m tollbar.intake` in a process of its own."""

    process: subprocess.Popen[str]
    config: Path
    output: Path
    url: str = ""
    log: list[str] = field(default_factory=list)

    def written(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.read_text().splitlines()]

    def wait_for_log(self, text: str, seconds: float = 10.0) -> str:
        """Return the first line that holds this text."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in self.log:
                if text in line:
                    return line
            time.sleep(0.02)
        raise AssertionError(f"{text!r} was not logged: {self.log}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


class Servers:
    """Starts servers, and ends those that a test leaves behind."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: list[Server] = []

    def start(self, yaml: str = CONFIG, *options: str, listen: str = "127.0.0.1:0") -> Server:
        config_file = self._directory / "tollbar.yml"
        config_file.write_text(yaml)
        output = self._directory / "events.ndjson"
        process = subprocess.Popen(
            [*COMMAND, "--config", str(config_file), "--listen", listen, "--output", str(output), *options],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        server = Server(process, config_file, output)
        self._running.append(server)
        threading.Thread(target=lambda: server.log.extend(iter(process.stderr.readline, "")), daemon=True).start()  # type: ignore[union-attr]
        server.url = server.wait_for_log("listening on ", 20).split("listening on ")[1].strip()
        return server

    def stop_all(self) -> None:
        for server in self._running:
            if server.process.poll() is None:
                server.process.kill()
            server.process.wait(10)
            if server.process.stderr is not None:
                server.process.stderr.close()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    running = Servers(tmp_path)
    yield running
    running.stop_all()
