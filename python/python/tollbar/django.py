"""Django: a middleware, for synchronous and asynchronous applications.

```python
MIDDLEWARE = ["tollbar.django.TollbarMiddleware", ...]
TOLLBAR = {"ENGINE": engine}  # or {"CONFIG": "/etc/apm-server.yml"}; "OPTIONS": those of tollbar.http.Gate
```

The client of a request that was let in is `request.tollbar`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse

from tollbar import Engine
from tollbar.http import Gate
from tollbar.wsgi import request_of

if TYPE_CHECKING:
    from tollbar.http import Entry, Request, Rule

__all__ = ["TollbarMiddleware", "gate_of_settings"]

_Next = Callable[[HttpRequest], Any]


def gate_of_settings() -> Gate:
    """Return the gate that the setting `TOLLBAR` describes: the same one as long as the setting is the same."""
    given: Any = getattr(settings, "TOLLBAR", None)
    if not isinstance(given, dict) or ("ENGINE" in given) == ("CONFIG" in given):
        raise ImproperlyConfigured('TOLLBAR: accepted is a dict with "ENGINE" or "CONFIG", and perhaps "OPTIONS"')
    if _made.get("of") is not given:
        engine = given["ENGINE"] if "ENGINE" in given else Engine.from_file(given["CONFIG"])
        options = given.get("OPTIONS", {})
        _made.update(of=given, gate=engine if isinstance(engine, Gate) else Gate(engine, **options))
    return cast("Gate", _made["gate"])


_made: dict[str, Any] = {}


class TollbarMiddleware:
    """Lets requests in, or answers them itself."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: _Next) -> None:
        self._next = get_response
        self._gate = gate_of_settings()
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        """Serve one request."""
        seen = request_of(request.META, request)
        seen.path = request.path_info
        rule = self._gate.rule(seen.method, seen.path)
        if self._is_async:
            return self._serve_async(request, seen, rule)
        if rule is None:
            return cast("HttpResponse", self._next(request))
        entry = self._gate.enter(seen, rule)
        refusal = self._refusal(request, seen, rule, entry)
        return refusal if refusal is not None else self._add_headers(self._next(request), entry)

    async def _serve_async(self, request: HttpRequest, seen: Request, rule: Rule | None) -> HttpResponse:
        if rule is None:
            return cast("HttpResponse", await self._next(request))
        entry = await self._gate.enter_async(seen, rule)
        refusal = self._refusal(request, seen, rule, entry)
        return refusal if refusal is not None else self._add_headers(await self._next(request), entry)

    def _refusal(self, request: HttpRequest, seen: Request, rule: Rule, entry: Entry) -> HttpResponse | None:
        if not entry.decision.allowed and rule.enforce:
            status, headers, body = self._gate.respond(seen, entry.decision)
            return HttpResponse(body, status=status, headers=dict(headers))
        request.tollbar = entry.client  # type: ignore[attr-defined]
        return None

    def _add_headers(self, response: HttpResponse, entry: Entry) -> HttpResponse:
        for name, value in self._gate.headers(entry.decision):
            response[name] = value
        return response
