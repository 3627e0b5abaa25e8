"""Cross-origin requests to the RUM routes: browsers send them from every site that is monitored.

As APM Server: an origin that `apm-server.rum.allow_origins` lists is echoed, a preflight is answered without
authentication (browsers send none with it), and refusals too can be read by the page that caused them. A request of
another origin is refused (403) before anything else is looked at. Each request is answered under the configuration in
force.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

from tollbar.intake.gate import empty_response, json_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from tollbar import Engine

_AGENT_HEADERS = ("Content-Type", "Content-Encoding", "Accept", "If-None-Match")
_QUOTED = 100
"""So much of an origin is quoted in the answer that refuses it."""


class Cors:
    """Wraps an ASGI application; only paths in `paths` are touched."""

    def __init__(self, app: ASGIApp, engine: Engine, paths: frozenset[str]) -> None:
        self._app = app
        self._engine = engine
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        origin = Headers(scope=scope).get("origin")
        allowed = self._engine.allows_origin(origin)

        async def send_with_origin(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.add_vary_header("Origin")
                if origin and allowed:
                    headers["Access-Control-Allow-Origin"] = origin
                    headers["Access-Control-Expose-Headers"] = "Etag, Retry-After"
            await send(message)

        if scope["method"] == "OPTIONS":
            await empty_response(200, self._preflight())(scope, receive, send_with_origin)
        elif allowed:
            await self._app(scope, receive, send_with_origin)
        else:
            shown = (origin or "")[:_QUOTED]
            refusal = json_response(403, {"error": f"forbidden request: origin: '{shown}' is not allowed"})
            await refusal(scope, receive, send_with_origin)

    def _preflight(self) -> dict[str, str]:
        return {
            "Access-Control-Allow-Methods": "POST, OPTIONS",
            "Access-Control-Allow-Headers": ", ".join([*_AGENT_HEADERS, *self._engine.allow_headers]),
            "Access-Control-Max-Age": "3600",
        }
