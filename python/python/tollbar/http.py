"""From a request to the engine, and from a decision to a response: no I/O, every middleware translates to this.

A `Gate` is an engine and what a service wants of it: which route asks for what (`Rule`), what a refusal looks like,
what is logged.

Invariants: credentials and client addresses are judged by the engine alone; Python passes the headers on unread.
Whatever a refusal looks like, it has the status, `WWW-Authenticate` and `Retry-After` of its decision. No body is
looked at.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, TypedDict, TypeVar
from urllib.parse import parse_qsl

from tollbar import Question

if TYPE_CHECKING:
    from tollbar import Client, Decision, Engine

__all__ = [
    "APM_RULES",
    "Action",
    "Content",
    "Denial",
    "Entry",
    "Gate",
    "Name",
    "Options",
    "Request",
    "Response",
    "Rule",
    "from_header",
    "from_query",
    "problem",
    "refusal_headers",
]

Action: TypeAlias = Literal["ingest", "agent_config", "sourcemap"]
_Text: TypeAlias = str | bytes
_Answer = TypeVar("_Answer")
Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[_Text, _Text]]

VERDICT_GRACE_SECONDS = 0.25
"""A verifier gives up by itself at the configured time; so much later nobody waits for it any more."""

LOGGED_A_SECOND = 10
"""Of a flood of refusals, a gate logs this many a second; the next record says how many were left out."""

QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
"""The problem type of draft-ietf-httpapi-ratelimit-headers."""

log = logging.getLogger("tollbar.refusals")


class Request:
    """What a gate sees of a request. `native` is the framework's own."""

    __slots__ = ("headers", "method", "native", "path", "peer", "query")

    def __init__(  # noqa: PLR0917 (made for every request: keywords take longer)
        self, method: str, path: str, headers: Headers, peer: str | None, query: _Text = "", native: object = None
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.peer = peer
        self.query = query
        self.native = native

    def header(self, name: str) -> str | None:
        """Return the first value of a header, whose case does not matter."""
        wanted = name.lower()
        pairs = self.headers.items() if isinstance(self.headers, Mapping) else self.headers
        for key, value in pairs:
            if _decoded(key).lower() == wanted:
                return _decoded(value)
        return None


def _decoded(text: _Text) -> str:
    return text if isinstance(text, str) else text.decode("latin-1")


Name: TypeAlias = str | Callable[[Request], str | None] | None
"""An agent's or a service's name, or how it is found in a request before its body is read; None: it is not known."""


def from_header(name: str) -> Callable[[Request], str | None]:
    """Find a name in a header."""
    return lambda request: request.header(name)


def from_query(name: str) -> Callable[[Request], str | None]:
    """Find a name in the query, such as `service.name` of the agents' configuration."""

    def find(request: Request) -> str | None:
        query = parse_qsl(_decoded(request.query), encoding="utf-8", errors="replace")
        return next((value for key, value in query if key == name), None)

    return find


@dataclass(frozen=True, slots=True)
class Rule:
    """What a route asks for."""

    action: Action = "ingest"
    rum: bool = False
    """Whether `apm-server.rum.enabled` has to be true."""
    cost: int = 1
    """How many events an anonymous client is charged when the request arrives."""
    agent: Name = None
    service: Name = None
    authorize: bool = True
    """False: the names are in the body: the application asks `client.authorize`, before it accepts anything."""
    enforce: bool = True
    """False: nothing is charged, and the request goes on in any case: the application looks at `client.decision`."""
    arguments: tuple[Action, str | None, str | None, int, None, bool] | None = field(init=False, compare=False)
    """What `client.check` is asked, where that is the same for every request."""
    question: Question | None = field(init=False, compare=False, repr=False)
    """The same, as `engine.enter_scope` takes it."""

    def __post_init__(self) -> None:
        arguments = question = None
        if self.enforce and self.authorize and not callable(self.agent) and not callable(self.service):
            arguments = (self.action, self.agent, self.service, self.cost, None, self.rum)
            question = Question(self.action, self.agent, self.service, self.cost, self.rum)
        object.__setattr__(self, "arguments", arguments)
        object.__setattr__(self, "question", question)


APM_RULES: Mapping[str, Rule | None] = {
    "POST /intake/v2/events": Rule(authorize=False),
    "POST /intake/v2/rum/events": Rule(rum=True, authorize=False),
    "POST /intake/v3/rum/events": Rule(rum=True, authorize=False),
    "GET /config/v1/agents": Rule(action="agent_config", authorize=False),
    "POST /config/v1/agents": Rule(action="agent_config", authorize=False),
    "GET /config/v1/rum/agents": Rule(action="agent_config", rum=True, authorize=False),
    "POST /config/v1/rum/agents": Rule(action="agent_config", rum=True, authorize=False),
    "POST /assets/v1/sourcemaps": Rule(action="sourcemap"),
    "POST /v1/traces": Rule(authorize=False),
    "POST /v1/metrics": Rule(authorize=False),
    "POST /v1/logs": Rule(authorize=False),
}
"""APM Server's routes. Names are in bodies and queries: the application authorizes what needs them."""


class Response(NamedTuple):
    """A response to be sent as it is."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Content(NamedTuple):
    """What a refusal says, beside its status and the headers that every refusal has."""

    media_type: str
    body: bytes
    headers: Mapping[str, str] = {}


Denial: TypeAlias = Callable[[Request, "Decision"], Content]
"""How a service words a refusal."""


def problem(request: Request, decision: Decision) -> Content:
    """Word a refusal as RFC 9457 has it: `application/problem+json`."""
    status = decision.status
    document: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": decision.message,
        "reason": decision.reason,
    }
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        document |= {"type": QUOTA_EXCEEDED, "title": "Quota Exceeded", "violated-policies": ["events"]}
    return Content("application/problem+json", json.dumps(document).encode())


def refusal_headers(decision: Decision) -> dict[str, str]:
    """Return the headers that tell a client what to do about a refusal."""
    headers = {}
    if decision.www_authenticate is not None:
        headers["WWW-Authenticate"] = decision.www_authenticate
    if decision.retry_after_header is not None:
        headers["Retry-After"] = str(decision.retry_after_header)
    return headers


class Entry(NamedTuple):
    """Who came, and whether they may go on."""

    client: Client
    decision: Decision


class Options(TypedDict, total=False):
    """What `Gate` takes beside the engine, as every middleware does."""

    rules: Mapping[str, Rule | None]
    default: Rule | None
    skip: Iterable[str]
    denial: Denial
    ratelimit_headers: bool
    local_peer: str
    logger: logging.Logger | None


_NO_RULE = Rule()
"""Stands for a key that is missing: it is told by its identity."""


class Gate:
    """An engine, and what a service wants of it. Thread-safe, and of no event loop in particular.

    It stays as it was made: middlewares read what it is made of once.

    - `rules`: what routes ask for. A key is a path, with a method before it or not (`"POST /intake/v2/events"`); one
      that ends in `*` is a prefix. GET stands for HEAD, too. The method goes first, then the longest key. None: the
      route is not gated.
    - `default`: what other routes ask for; None: they are not gated.
    - `skip`: paths that are not gated, such as health checks.
    - `denial`: how a refusal is worded; `problem` is RFC 9457.
    - `ratelimit_headers`: whether responses to anonymous clients have `RateLimit-Policy` and `RateLimit`.
    - `local_peer`: whom a connection counts as whose peer has no IP address: over a Unix socket, or from a test
      client. With it among `tollbar.trusted_proxies`, the forwarding headers of a proxy in front of the socket are
      believed.
    - `logger`: where refusals are logged, with `extra={"tollbar": {...}}`; None: nowhere.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        rules: Mapping[str, Rule | None] | None = None,
        default: Rule | None = Rule(),
        skip: Iterable[str] = (),
        denial: Denial = problem,
        ratelimit_headers: bool = False,
        local_peer: str = "127.0.0.1",
        logger: logging.Logger | None = log,
    ) -> None:
        self.engine = engine
        self.ratelimit_headers = ratelimit_headers
        self._default = default
        self._denial = denial
        self.local_peer = local_peer
        self._log = _Log(logger) if logger is not None else None
        self._by_method: dict[tuple[str, str], Rule | None] = {}
        self._exact: dict[str, Rule | None] = dict.fromkeys(skip)
        head: dict[tuple[str, str], Rule | None] = {}
        prefixes: list[tuple[str | None, str, Rule | None]] = []
        for key, rule in (rules or {}).items():
            method, path = _route(key)
            if path.endswith("*"):
                prefixes.append((method, path[:-1], rule))
            elif method is None:
                self._exact[path] = rule
            else:
                self._by_method[method, path] = rule
                if method == "GET":
                    head.setdefault(("HEAD", path), rule)
        self._by_method = {**head, **self._by_method}
        self._prefixes = sorted(prefixes, key=lambda prefix: (len(prefix[1]), prefix[0] is not None), reverse=True)
        self.only_rule = default if not (self._by_method or self._exact or self._prefixes) else None
        """What all routes ask for, where that is one thing; None: `rule` says what a route asks for."""
        self._waiting: set[asyncio.Future[Client]] = set()
        self._closed = False

    def rule(self, method: str, path: str) -> Rule | None:
        """Return what a route asks for; None: it is not gated."""
        if self._by_method:
            rule = self._by_method.get((method, path), _NO_RULE)
            if rule is not _NO_RULE:
                return rule
        rule = self._exact.get(path, _NO_RULE)
        if rule is not _NO_RULE:
            return rule
        for only, prefix, rule in self._prefixes:
            if path.startswith(prefix) and (only in (None, method) or (only, method) == ("GET", "HEAD")):
                return rule
        return self._default

    def authenticate(self, request: Request) -> Client:
        """Ask who this is, without waiting: an API key that has to be verified first is `client.pending`."""
        return self._ask(self.engine.authenticate, request)

    def decide(self, client: Client, request: Request, rule: Rule) -> Decision:
        """Check what needs no body, in order: the credential, the charge, is the RUM route open, authorization."""
        if not rule.enforce:
            return client.decision
        if not client.allowed:
            # As the engine has counted already: no further question.
            decision = client.decision
        elif rule.arguments is not None:
            decision = client.check(*rule.arguments)
        elif rule.authorize:
            agent, service = rule.agent, rule.service
            if callable(agent):
                agent = agent(request)
            if callable(service):
                service = service(request)
            decision = client.check(rule.action, agent, service, rule.cost, None, rule.rum)
        else:
            decision = client.admit(rule.cost)
            if rule.rum and decision.allowed:
                decision = client.rum_route()
        if not decision.allowed:
            self.log(request, decision)
        return decision

    def log(self, request: Request, decision: Decision) -> None:
        """Log a refusal, unless there are too many: `decide` does so of its own."""
        if self._log is not None:
            self._log.refusal(request, decision)

    def enter(self, request: Request, rule: Rule) -> Entry:
        """Let a request in or not. Waits, without the GIL, while an API key is verified."""
        client, decision = self._at_once(request, rule)
        if not client.pending:
            return Entry(client, decision)
        engine = self.engine
        timeout = engine.verification_timeout + VERDICT_GRACE_SECONDS
        client = engine.verify(None, request.peer or self.local_peer, request.headers, timeout)
        return Entry(client, self.decide(client, request, rule))

    async def enter_async(self, request: Request, rule: Rule) -> Entry:
        """Let a request in or not. Awaits the verdict on an API key, for as long as the configuration allows."""
        client, decision = self._at_once(request, rule)
        return await self.enter_verified(client, request, rule) if client.pending else Entry(client, decision)

    def _at_once(self, request: Request, rule: Rule) -> Entry:
        """Let a request in or not, as far as that goes without waiting: the client may be pending."""
        arguments = rule.arguments
        if arguments is None:
            client = self.authenticate(request)
            return Entry(client, client.decision if client.pending else self.decide(client, request, rule))
        client, decision = self._ask(self.engine.enter, request, *arguments)
        if not decision and not client.pending:
            self.log(request, decision)
        return Entry(client, decision)

    async def enter_verified(self, client: Client, request: Request, rule: Rule) -> Entry:
        """Let a request in or not whose client is pending, once there is a verdict on the API key."""
        client = await self.verified(client, request)
        return Entry(client, self.decide(client, request, rule))

    async def verified(self, client: Client, request: Request) -> Client:
        """Await the verdict on the API key of a pending client, who stays pending (503) if it takes too long."""
        if self._closed:
            return client
        engine = self.engine
        verdict = engine.verify_async(None, request.peer or self.local_peer, request.headers)
        self._waiting.add(verdict)
        try:
            # Unlike `wait_for`, this doesn't care how the future ended, nor who cancelled it.
            await asyncio.wait((verdict,), timeout=engine.verification_timeout + VERDICT_GRACE_SECONDS)
        finally:
            self._waiting.discard(verdict)
        return verdict.result() if verdict.done() and not verdict.cancelled() else client

    def close(self) -> None:
        """Wait for no verdict any more, on the loop that it is called on: who does is answered 503."""
        self._closed = True
        for verdict in tuple(self._waiting):
            verdict.cancel()

    def respond(self, request: Request, decision: Decision) -> Response:
        """Return the response to a refusal."""
        content = self._denial(request, decision)
        headers = {
            "Content-Type": content.media_type,
            "Content-Length": str(len(content.body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **content.headers,
            **refusal_headers(decision),
        }
        body = b"" if request.method == "HEAD" else content.body
        return Response(decision.status, [*headers.items(), *self.headers(decision)], body)

    def headers(self, decision: Decision) -> list[tuple[str, str]]:
        """Return the headers of the rate limit that a response gets, refused or not."""
        if not self.ratelimit_headers or decision.ratelimit is None or decision.ratelimit_policy is None:
            return []
        return [("RateLimit-Policy", decision.ratelimit_policy), ("RateLimit", decision.ratelimit)]

    def _ask(self, question: Callable[..., _Answer], request: Request, *arguments: object) -> _Answer:
        """Ask the engine about a request. A peer that is no address is replaced by `local_peer`, for good."""
        try:
            return question(None, request.peer or self.local_peer, request.headers, *arguments)
        except ValueError:
            # If the peer is not to blame, this raises again.
            request.peer = None
            return question(None, self.local_peer, request.headers, *arguments)


def gate(engine: Engine | Gate, options: Options) -> Gate:
    """Return the gate that a middleware is given, or make it."""
    if not isinstance(engine, Gate):
        return Gate(engine, **options)
    if options:
        raise TypeError(f"found a Gate and the options {sorted(options)}: give them to the Gate")
    return engine


def _route(key: str) -> tuple[str | None, str]:
    method, space, path = key.rpartition(" ")
    if not path.startswith("/") or (space and not (method.isascii() and method.isalpha() and method.isupper())):
        raise ValueError(f'rules: found {key!r}; accepted are "/path", "/prefix/*" and "METHOD /path"')
    return (method if space else None, path)


class _Log:
    """Logs refusals, a bounded number of them. Threads that race may log one more or count one less."""

    __slots__ = ("_left_out", "_logger", "_second", "_this_second")

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._second = 0
        self._this_second = 0
        self._left_out = 0

    def refusal(self, request: Request, decision: Decision) -> None:
        status = decision.status
        level = logging.WARNING if status == HTTPStatus.SERVICE_UNAVAILABLE else logging.INFO
        if not self._logger.isEnabledFor(level):
            return
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._this_second = second, 0
        self._this_second += 1
        if self._this_second > LOGGED_A_SECOND:
            self._left_out += 1
            return
        left_out, self._left_out = self._left_out, 0
        fields: dict[str, Any] = {
            "reason": decision.reason,
            "status": status,
            "client": decision.client,
            "method": decision.method,
            "retry_after": decision.retry_after,
            "generation": decision.generation,
            "request_method": request.method[:16],
            "path": request.path[:256],
            "left_out": left_out,
        }
        # %r: what a client made up stays on its line.
        arguments = (status, decision.reason, decision.client, fields["request_method"], fields["path"])
        self._logger.log(level, "refused: %d %s, client %s, %s %r", *arguments, extra={"tollbar": fields})
