"""`/config/v1/agents` and `/config/v1/rum/agents`: the agents' central configuration.

There is none: the answer is APM Server's for a service without one, `{}` with the Etag `"-"`, so that agents cache it
and keep asking every 30 s. What matters here is who may ask.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tollbar.intake.body import Body, OpenBodies
from tollbar.intake.errors import IntakeError
from tollbar.intake.gate import client_of, empty_response, error_response, json_response, require

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

MAX_QUERY_BYTES = 64 * 1024

_ETAG = "-"
_CACHE = {"Cache-Control": "max-age=30, must-revalidate"}
CACHE_ERROR = {"Cache-Control": "max-age=300, must-revalidate"}
"""What every refusal has: agents ask again in five minutes."""


class _InvalidQueryError(IntakeError):
    """The query can't be read."""


@dataclass(frozen=True, slots=True)
class ConfigRoute:
    """The endpoint of the agent configuration routes."""

    open_bodies: OpenBodies

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        client = client_of(request)
        try:
            try:
                service = await self._service(request)
            except _InvalidQueryError as error:
                # As APM Server: an anonymous client is not told more.
                message = "invalid query" if client.method == "anonymous" else error.message
                raise _InvalidQueryError(message) from None
            require(client.authorize("agent_config", service=service))
        except IntakeError as error:
            response = error_response(error)
            response.headers.update(CACHE_ERROR)
            return response
        headers = {**_CACHE, "Etag": f'"{_ETAG}"', "Access-Control-Expose-Headers": "Etag"}
        if self._known_etag(request) == _ETAG:
            return empty_response(304, headers)
        return json_response(200, {}, headers)

    async def _service(self, request: Request) -> str:
        """Return the service's name: of the query (GET) or of the JSON body (POST)."""
        name: object
        if request.method == "POST":
            body = await Body(request.headers, request.receive, self.open_bodies).whole(MAX_QUERY_BYTES)
            with body as data:
                name = _service_name(data)
        else:
            name = request.query_params.get("service.name")
        if not isinstance(name, str) or not name:
            raise _InvalidQueryError("service.name is required")
        return name.encode("utf-8", "replace").decode()

    @staticmethod
    def _known_etag(request: Request) -> str | None:
        header = request.headers.get("if-none-match")
        return header.replace('"', "") if header else request.query_params.get("ifnonematch")


def _service_name(data: bytes) -> Any:
    try:
        query = json.loads(data)
    except (ValueError, RecursionError):
        message = 'the body is no JSON; accepted is {"service": {"name": …, "environment": …}}'
        raise _InvalidQueryError(message) from None
    service = query.get("service") if isinstance(query, dict) else None
    return service.get("name") if isinstance(service, dict) else None
