"""FastAPI: a dependency, with security schemes in the OpenAPI document.

```python
gate = Tollbar(engine, app)


@app.post("/events")
async def events(client: Annotated[tollbar.Client, Depends(gate)]) -> None: ...
```

A gate for all routes is `tollbar.asgi.TollbarMiddleware`: `app.add_middleware(TollbarMiddleware, engine=engine)`.
"""

# Not `from __future__ import annotations`: FastAPI does not resolve those of an object that is called.
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, HTTPException, Request, Response
from fastapi.security import APIKeyHeader, HTTPBearer

from tollbar import Client, Decision
from tollbar.asgi import request_of
from tollbar.http import Gate, Rule, gate, refusal_headers

if TYPE_CHECKING:
    from typing import Unpack

    from fastapi import FastAPI

    from tollbar import Engine
    from tollbar.http import Options

__all__ = ["RefusedError", "Tollbar"]

# Both only describe: the engine reads the header itself.
_secret_token = HTTPBearer(scheme_name="secret_token", description="A secret token", auto_error=False)
_api_key = APIKeyHeader(
    name="Authorization", scheme_name="api_key", description="`ApiKey ` and base64 of `id:key`", auto_error=False
)


class RefusedError(HTTPException):
    """The engine refused. Where no handler is installed (`Tollbar(engine, app)`), FastAPI answers `{"detail": …}`."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.status, decision.message, refusal_headers(decision))
        self.decision = decision


class Tollbar:
    """A dependency that lets requests in and returns their `Client`.

    With `app`, refusals are answered as the gate words them.
    """

    def __init__(
        self,
        engine: "Engine | Gate",
        app: "FastAPI | None" = None,
        *,
        rule: Rule = Rule(),  # noqa: B008 (it is immutable)
        **options: "Unpack[Options]",
    ) -> None:
        self.gate = gate(engine, options)
        self._rule = rule
        if app is not None:
            app.add_exception_handler(RefusedError, self._refused)

    def require(self, rule: Rule) -> "Tollbar":
        """Return a dependency for routes that ask for something else."""
        return Tollbar(self.gate, rule=rule)

    async def __call__(
        self,
        request: Request,
        response: Response,
        _token: Annotated[object, Depends(_secret_token)] = None,
        _key: Annotated[object, Depends(_api_key)] = None,
    ) -> Client:
        """Let a request in. Raises `RefusedError`."""
        client, decision = await self.gate.enter_async(request_of(request.scope), self._rule)
        if not decision.allowed and self._rule.enforce:
            raise RefusedError(decision)
        request.state.tollbar = client
        for name, value in self.gate.headers(decision):
            response.headers[name] = value
        return client

    async def _refused(self, request: Request, error: Exception) -> Response:
        if not isinstance(error, RefusedError):
            raise error
        status, headers, body = self.gate.respond(request_of(request.scope), error.decision)
        return Response(body, status, dict(headers))
