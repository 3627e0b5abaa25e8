"""Cross-origin requests to the RUM routes: browsers send them from every site that is monitored.

As APM Server with its default `allow_origins: ['*']`: the origin is echoed, a preflight is answered without
authentication (browsers send none with it), and refusals too can be read by the page that caused them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

from tollbar.intake.gate import empty_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "POST, OPTIONS",
    "Access-Control-Allow-Headers": "Content-Type, Content-Encoding, Accept, If-None-Match",
    "Access-Control-Max-Age": "3600",
}


class Cors:
    """Wraps an ASGI application; only paths in `paths` are touched."""

    def __init__(self, app: ASGIApp, paths: frozenset[str]) -> None:
        self._app = app
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        origin = Headers(scope=scope).get("origin")

        async def send_with_origin(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.add_vary_header("Origin")
                if origin:
                    headers["Access-Control-Allow-Origin"] = origin
                    headers["Access-Control-Expose-Headers"] = "Etag, Retry-After"
            await send(message)

        if scope["method"] == "OPTIONS":
            await empty_response(200, _PREFLIGHT)(scope, receive, send_with_origin)
        else:
            await self._app(scope, receive, send_with_origin)
