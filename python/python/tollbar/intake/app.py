"""The ASGI application: which path is answered by what.

`tollbar.asgi` stands before all routes, and keeps the order of checks: authentication (401), one event's charge if
the client is anonymous (429), is the RUM route open (403); only then is the body read. Unknown paths and methods are
not asked for who they are. Before all that, pages of origins that are not allowed are turned away from the RUM routes
(`cors.py`).
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
from tollbar.asgi import TollbarMiddleware
from tollbar.http import APM_RULES, Content, Gate, Rule
from tollbar.intake import otlp
from tollbar.intake.body import OpenBodies
from tollbar.intake.config import CACHE_ERROR, ConfigRoute
from tollbar.intake.cors import Cors
from tollbar.intake.errors import ClientGoneError
from tollbar.intake.gate import client_of, empty_response, error_body, json_response
from tollbar.intake.sourcemaps import SourcemapRoute
from tollbar.intake.streams import StreamRoute

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

    from tollbar import Decision, Engine
    from tollbar.http import Request as GateRequest
    from tollbar.intake.output import Output

log = logging.getLogger("tollbar.intake")

RUM_STREAMS = ("/intake/v2/rum/events", "/intake/v3/rum/events")
CONFIG = "/config/v1/agents"
RUM_CONFIG = "/config/v1/rum/agents"

_STARTED = datetime.datetime.now(datetime.UTC)
"""Shown as the build date: agents parse it, and a wheel has no better one."""


def make_gate(engine: Engine) -> Gate:
    """Make the gate that stands before the application."""
    return Gate(engine, rules={**APM_RULES, "/": Rule(enforce=False)}, default=None, denial=_denial)


def _denial(request: GateRequest, decision: Decision) -> Content:
    """Word a refusal as each protocol's clients expect it."""
    if request.path in otlp.SIGNALS:
        return otlp.refusal(request, decision)
    headers = CACHE_ERROR if request.path in (CONFIG, RUM_CONFIG) else {}
    return Content("application/json", error_body(decision.message), headers)


def create_app(engine: Engine | Gate, output: Output, open_bodies: OpenBodies | None = None) -> Starlette:
    """Make the application. It closes `output` when it is shut down (ASGI lifespan)."""
    bodies = open_bodies or OpenBodies()
    gate = engine if isinstance(engine, Gate) else make_gate(engine)

    async def root(request: Request) -> Response:
        """Say what this server is, but only to the authenticated."""
        client = client_of(request)
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
        *(
            Route(path, StreamRoute(output, bodies).__call__, methods=["POST"])
            for path in ("/intake/v2/events", *RUM_STREAMS)
        ),
        *(Route(path, ConfigRoute(bodies).__call__, methods=["GET", "POST"]) for path in (CONFIG, RUM_CONFIG)),
        Route("/assets/v1/sourcemaps", SourcemapRoute(bodies).__call__, methods=["POST"]),
        *(
            Route(path, otlp.OtlpRoute(output, bodies, signal).__call__, methods=["POST"])
            for path, signal in otlp.SIGNALS.items()
        ),
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await output.close()

    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[
            Middleware(Cors, engine=gate.engine, paths=frozenset([*RUM_STREAMS, RUM_CONFIG])),
            Middleware(TollbarMiddleware, engine=gate),
        ],
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
