"""An intake server as a process of its own, started as its users start it, with a configuration and an output of its own.

Invariant: when the `with` block ends the process is gone, it was asked to stop with SIGTERM, and `exit_code` and `complaints`
say how that went. `written` is complete only then, or once every client has been answered.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

START_PATIENCE = 20.0
STOP_PATIENCE = 20.0


@dataclass(frozen=True)
class Ingestor:
    """An intake server that gates with Tollbar. All take the same options and write the same output."""

    name: str
    command: tuple[str, ...]


PYTHON = Ingestor("python", (sys.executable, "-m", "tollbar.intake"))
"""The reference ingestor."""
C = Ingestor("c", (str(Path(__file__).parent.parent / "target/c-server/sanitized/tollbar-c-server"),))
"""The server in examples/c-server, as `make c-server` builds it with sanitizers: what they find ends it with a failure."""
GO = Ingestor("go", (str(Path(__file__).parent.parent / "target/go/go-server"),))
"""The server in examples/go-server, as `make target/go/go-server` builds it."""
INGESTORS = {ingestor.name: ingestor for ingestor in [PYTHON, C, GO]}


class Server:
    """An ingestor on a free port of 127.0.0.1."""

    def __init__(self, ingestor: Ingestor, config: str, *options: str) -> None:
        self._command = (*ingestor.command, *options)
        self._folder = tempfile.TemporaryDirectory(prefix="tollbar-e2e-")
        self.config_file = Path(self._folder.name, "tollbar.yml")
        self.config_file.write_text(config)
        self._output = Path(self._folder.name, "accepted.ndjson")
        self._log = Path(self._folder.name, "server.log")
        self._port = _free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.exit_code: int | None = None
        self.complaints: list[str] = []

    def __enter__(self) -> Self:
        options = [
            "--config",
            str(self.config_file),
            "--listen",
            f"127.0.0.1:{self._port}",
            "--output",
            str(self._output),
        ]
        with self._log.open("wb") as log:
            command = [*self._command, *options]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            self._await_start()
        except BaseException:
            self._process.kill()
            self._process.wait()
            self._folder.cleanup()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self.exit_code = self._process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            self.complaints.append(f"the server had not stopped {STOP_PATIENCE:g} s after SIGTERM")
            self._process.kill()
            self.exit_code = self._process.wait()
        if self.exit_code not in (0, -signal.SIGTERM, 128 + signal.SIGTERM):
            self.complaints.append(f"the server ended with code {self.exit_code}")
        if re.search("Traceback|panicked|Sanitizer|runtime error:", log := self.log()):
            self.complaints.append("the server's log holds a crash:\n" + log[-2000:])
        self._records = list(self._read())
        self._folder.cleanup()

    def hang_up(self) -> None:
        """Sends SIGHUP: read the configuration again."""
        os.kill(self._process.pid, signal.SIGHUP)

    def log(self) -> str:
        """What the server has printed so far."""
        return self._log.read_text(errors="replace")

    def written_so_far(self) -> int:
        """How many accepted events the output holds while the server runs."""
        return self._output.read_bytes().count(b"\n") if self._output.exists() else 0

    def written(self) -> Counter[str]:
        """How many accepted events the output holds, by service. Only after the server has stopped."""
        return Counter(record["service"] for record in self._records)

    def clients(self, service: str) -> Counter[str]:
        """How many of them by client key, for one service. Only after the server has stopped."""
        return Counter(record["client"] for record in self._records if record["service"] == service)

    def _read(self) -> Iterator[dict[str, str]]:
        if self._output.exists():
            for line in self._output.read_text().splitlines():
                yield json.loads(line)

    def _await_start(self) -> None:
        deadline = time.monotonic() + START_PATIENCE
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"the server ended with code {self._process.returncode} at its start:\n{self.log()}")
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=1)
            try:
                connection.request("GET", "/")
                connection.getresponse().read()
            except OSError:
                time.sleep(0.05)
            else:
                return
            finally:
                connection.close()
        raise RuntimeError(f"the server did not answer within {START_PATIENCE:g} s:\n{self.log()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
