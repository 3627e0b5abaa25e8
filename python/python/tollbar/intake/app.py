"""The ASGI application: which path is answered by what.

The order of checks on a request is SPEC's, and is kept in `gate.enter`: authentication (401), one event's charge if the
client is anonymous (429), is the RUM route open (403); only then is the body read. Before all that, pages of
origins that are not allowed are turned away from the RUM routes (`cors.py`).
"""

from __future__ import annotations

import datetime
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

import tollbar
from tollbar.intake.body import OpenBodies
from tollbar.intake.config import ConfigRoute
from tollbar.intake.cors import Cors
from tollbar.intake.errors import ClientGoneError
from tollbar.intake.gate import authenticate, empty_response, json_response
from tollbar.intake.otlp import SIGNALS, OtlpRoute
from tollbar.intake.sourcemaps import SourcemapRoute
from tollbar.intake.streams import StreamRoute

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

    from tollbar import Engine
    from tollbar.intake.output import Output

log = logging.getLogger("tollbar.intake")

RUM_STREAMS = ("/intake/v2/rum/events", "/intake/v3/rum/events")
RUM_CONFIG = "/config/v1/rum/agents"

_STARTED = datetime.datetime.now(datetime.timezone.utc)
"""Shown as the build date: agents parse it, and a wheel has no better one."""


def create_app(engine: Engine, output: Output, open_bodies: OpenBodies | None = None) -> Starlette:
    """Make the application. It closes `output` when it is shut down (ASGI lifespan)."""
    bodies = open_bodies or OpenBodies()

    async def root(request: Request) -> Response:
        """Say what this server is, but only to the authenticated."""
        client = await authenticate(engine, request.scope)
        if client.decision.status == 503:
            return json_response(503, {"error": client.decision.message})
        if not client.decision.allowed or client.method == "anonymous":
            return empty_response(200)
        return json_response(
            200,
            {
                "build_date": _STARTED.isoformat(timespec="seconds"),
                "build_sha": "tollbar",
                "publish_ready": True,
                "version": tollbar.__version__,
            },
        )

    routes = [
        Route("/", root, methods=["GET", "POST"]),
        Route("/intake/v2/events", StreamRoute(engine, output, bodies, rum=False).__call__, methods=["POST"]),
        *(
            Route(path, StreamRoute(engine, output, bodies, rum=True).__call__, methods=["POST"])
            for path in RUM_STREAMS
        ),
        Route("/config/v1/agents", ConfigRoute(engine, bodies, rum=False).__call__, methods=["GET", "POST"]),
        Route(RUM_CONFIG, ConfigRoute(engine, bodies, rum=True).__call__, methods=["GET", "POST"]),
        Route("/assets/v1/sourcemaps", SourcemapRoute(engine, bodies).__call__, methods=["POST"]),
        *(
            Route(path, OtlpRoute(engine, output, bodies, signal).__call__, methods=["POST"])
            for path, signal in SIGNALS.items()
        ),
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await output.close()

    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(Cors, engine=engine, paths=frozenset([*RUM_STREAMS, RUM_CONFIG]))],
        exception_handlers={
            HTTPException: _http_error,  # type: ignore[dict-item]
            ClientGoneError: _client_gone,
            Exception: _internal_error,
        },
    )
    app.router.redirect_slashes = False
    return app


async def _http_error(request: Request, error: HTTPException) -> Response:
    messages = {404: "404 page not found", 405: f"method not supported: {request.method}"}
    message = messages.get(error.status_code, error.detail)
    return json_response(error.status_code, {"error": message}, error.headers)


async def _client_gone(request: Request, _: Exception) -> Response:
    log.info("the client of %s closed the connection before its request was complete", request.url.path)
    return empty_response(400)


async def _internal_error(_request: Request, _: Exception) -> Response:
    return json_response(500, {"error": "internal error"})
