"""Flask: an extension.

```python
Tollbar(app, engine)
```

The client of a request that was let in is `flask.g.tollbar`. Requests are let in before they are dispatched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import flask

from tollbar.http import Gate, gate
from tollbar.wsgi import request_of

if TYPE_CHECKING:
    from typing import Unpack

    from tollbar import Engine
    from tollbar.http import Options

__all__ = ["Tollbar"]


class Tollbar:
    """Lets the requests of an application in.

    `engine` is an `Engine`, with the options of `tollbar.http.Gate`, or a `Gate`.
    """

    def __init__(
        self, app: flask.Flask | None = None, engine: Engine | Gate | None = None, **options: Unpack[Options]
    ) -> None:
        if engine is None:
            raise TypeError("engine: found None; accepted are an Engine and a Gate")
        self.gate = gate(engine, options)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """Put the gate before an application."""
        app.extensions["tollbar"] = self
        app.before_request(self._enter)
        app.after_request(self._add_headers)

    def _enter(self) -> flask.Response | None:
        request = request_of(flask.request.environ, flask.request)
        rule = self.gate.rule(request.method, request.path)
        if rule is None:
            return None
        client, decision = self.gate.enter(request, rule)
        if not decision.allowed and rule.enforce:
            status, headers, body = self.gate.respond(request, decision)
            return flask.Response(body, status, headers)
        flask.g.tollbar = client
        flask.g.tollbar_headers = self.gate.headers(decision)
        return None

    def _add_headers(self, response: flask.Response) -> flask.Response:
        for name, value in flask.g.get("tollbar_headers", ()):
            response.headers[name] = value
        return response
