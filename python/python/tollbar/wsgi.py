"""WSGI: Flask, Django, and whatever else speaks it.

```python
app = TollbarMiddleware(app, engine)
```

Invariants: the body is not touched. The application finds the `Client` in `environ["tollbar.client"]`. Of header
lines with one name, servers make one: the credential of a request with several is what they made of it.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tollbar.http import Gate, Request, gate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Unpack
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from tollbar import Engine
    from tollbar.http import Options

__all__ = ["TollbarMiddleware", "request_of"]


class TollbarMiddleware:
    """Lets requests in, or answers them itself.

    `engine` is an `Engine`, with the options of `tollbar.http.Gate`, or a `Gate`.
    """

    def __init__(self, app: WSGIApplication, engine: Engine | Gate, **options: Unpack[Options]) -> None:
        self.app = app
        self.gate = gate(engine, options)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request. Waits, without the GIL, while an API key is verified."""
        gate = self.gate
        request = request_of(environ)
        rule = gate.rule(request.method, request.path)
        if rule is None:
            return self.app(environ, start_response)
        client, decision = gate.enter(request, rule)
        if not decision.allowed and rule.enforce:
            status, headers, body = gate.respond(request, decision)
            start_response(f"{status} {HTTPStatus(status).phrase}", headers)
            return [body]
        environ["tollbar.client"] = client
        if headers := gate.headers(decision):
            start_response = _adding(headers, start_response)
        return self.app(environ, start_response)


def request_of(environ: Mapping[str, Any], native: object = None) -> Request:
    """Return what a gate sees of a request. `environ` may be Django's `META`, too."""
    # PEP 3333: text that holds the bytes of the path.
    path = environ.get("PATH_INFO", "").encode("latin-1", "replace").decode("utf-8", "replace")
    headers = [(name[5:].replace("_", "-"), value) for name, value in environ.items() if name.startswith("HTTP_")]
    peer = environ.get("REMOTE_ADDR")
    query = environ.get("QUERY_STRING", "")
    return Request(environ["REQUEST_METHOD"], path or "/", headers, peer, query, environ if native is None else native)


def _adding(headers: list[tuple[str, str]], start_response: StartResponse) -> StartResponse:
    def start_with_headers(
        status: str,
        given: list[tuple[str, str]],
        exc_info: tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None] | None = None,
        /,
    ) -> Any:
        return start_response(status, [*given, *headers], exc_info)

    return start_with_headers
