"""A stand-in for Elasticsearch: it knows some API keys, and answers what it is told to.

Invariant: a request that is not exactly the one that Elasticsearch expects is noted in `wrong`, and answered 400.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

PRIVILEGES = ["config_agent:read", "event:write", "sourcemap:write"]
QUESTION = {"application": [{"application": "apm", "privileges": PRIVILEGES, "resources": ["-"]}]}


class Elasticsearch:
    """Serves on a free port of 127.0.0.1 for as long as the `with` block lasts."""

    def __init__(self) -> None:
        self.keys: dict[str, Iterable[str]] = {}
        """What is known: credential (base64 of id:key) to privileges. Others are answered 401."""
        self.status: int | None = None
        """Answers everything with this status instead."""
        self.delay = 0.0
        """Seconds before each answer."""
        self.asked: list[str] = []
        """The credentials that were asked about, in order."""
        self.wrong: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def config(self, timeout: str = "5s", extra: str = "") -> str:
        """Return a configuration that verifies API keys here."""
        api_key = f"{{enabled: true, elasticsearch: {{hosts: ['{self.url}'], timeout: {timeout}}}{extra}}}"
        return f"apm-server.auth.api_key: {api_key}\n"

    def __enter__(self) -> Elasticsearch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                scheme, _, credential = self.headers["Authorization"].partition(" ")
                stand_in.asked.append(credential)
                time.sleep(stand_in.delay)
                if (self.path, scheme, json.loads(body)) != ("/_security/user/_has_privileges", "ApiKey", QUESTION):
                    stand_in.wrong.append(self.path)
                    self._answer(400, {})
                elif stand_in.status is not None:
                    self._answer(stand_in.status, {"error": credential})
                elif credential not in stand_in.keys:
                    self._answer(401, {"error": "unable to authenticate"})
                else:
                    held = {name: name in stand_in.keys[credential] for name in PRIVILEGES}
                    self._answer(200, {"username": "x", "application": {"apm": {"-": held}}})

            def _answer(self, status: int, document: object) -> None:
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name in the base class)
                pass

        return Handler
