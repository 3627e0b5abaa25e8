"""The scenario of `make demo` and of the end-to-end test: an ingestor a scene, its clients, and what SPEC says of each client.

Every function starts a server, lets its clients at it, stops it and returns one row a client. Every client has a service name of
its own, so that what it was told was accepted can be compared with what the server wrote.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import tollbar

from e2e import browser
from e2e.clients.flood import REQUEST_COST, Sender, flood, senders
from e2e.clients.rotation import Load, Rotation
from e2e.gcra import Limit
from e2e.outcome import FORBIDDEN, LIMITED, UNAUTHENTICATED, Bounds, Expected, Outcome, Row
from e2e.server import Ingestor, Server

ROOT = Path(__file__).parent.parent
TOKEN = "the-demo-token"
NARROW = Limit(rate=2, burst=30)
"""Narrow enough that a single page runs into it, slow enough that little is refilled while the demo runs."""

FLOOD_ADDRESSES, FLOOD_REQUESTS, FLOOD_EVENTS = 200, 10, 5
SECOND_REQUESTS = 8
"""The flood's second wave: requests of one event, so that the refilled room is measured to within one event."""
PAUSE = 4.0
"""Seconds between the waves, in which every address gets room for some more."""
COUNTERS = 16
"""Up to this many counters every one is a candidate of every key (SPEC P2), so the first comers surely get one each."""


def configuration(
    *,
    tokens: Sequence[str],
    agents: Sequence[str] = ("rum-js", "js-base", "iOS/swift"),
    services: Sequence[str] = (),
    limit: Limit | None = None,
    ip_limit: int = 1000,
    keys: Sequence[tollbar.GeneratedKey] = (),
) -> str:
    """A configuration file as a user of the ingestor writes it; without `limit`, the defaults."""
    rate_limit = {"ip_limit": ip_limit, **({"event_limit": int(limit.rate)} if limit else {})}
    anonymous = {
        "enabled": True,
        "allow_agent": list(agents),
        "allow_service": list(services),
        "rate_limit": rate_limit,
    }
    tollbar: dict[str, object] = {"trusted_proxies": ["127.0.0.0/8"]}
    if limit:
        tollbar["burst_multiplier"] = int(limit.burst / limit.rate)
    auth: dict[str, object] = {"secret_token": list(tokens), "anonymous": anonymous}
    if keys:
        listed = [{"id": key.id, "hash": key.hash, "privileges": ["event:write", "config_agent:read"]} for key in keys]
        auth["api_key"] = {"enabled": True, "keys": listed}
    server = {"auth": auth, "rum": {"enabled": True}}
    # JSON is YAML; what stands for the keys is the same.
    return json.dumps({"apm-server": server, "tollbar": tollbar}, indent=2) + "\n"


@dataclass(frozen=True)
class Program:
    """A client that runs as a process of its own. Refused with `refusal`, or accepted in full."""

    client: str
    service: str
    name: str
    options: tuple[str, ...]
    refusal: int | None
    why: str


WITH_TOKEN, WITH_WRONG_TOKEN = ("--token", TOKEN), ("--token", "not-" + TOKEN)
KEY = tollbar.generate_api_key("demo")
WRONG_KEY = tollbar.generate_api_key("demo")
"""With an id that the server knows, and another secret."""
WITH_KEY, WITH_WRONG_KEY = ("--api-key", KEY.credential), ("--api-key", WRONG_KEY.credential)
UNRESTRICTED, NO_FALLBACK = "a secret token is unrestricted", "a wrong token never falls back to anonymous"
PROGRAMS = [
    Program("elastic-apm, token", "apm-token", "python_agent", WITH_TOKEN, None, UNRESTRICTED),
    Program("elastic-apm, wrong token", "apm-wrong", "python_agent", WITH_WRONG_TOKEN, UNAUTHENTICATED, NO_FALLBACK),
    Program("elastic-apm, API key", "apm-key", "python_agent", WITH_KEY, None, "the key is listed, with `event:write`"),
    Program("elastic-apm, wrong key", "apm-key-wrong", "python_agent", WITH_WRONG_KEY, UNAUTHENTICATED, "an id proves nothing"),
    Program("elastic-apm, no token", "apm-none", "python_agent", (), FORBIDDEN, "`python` is not in allow_agent"),
    Program("OpenTelemetry, token", "otel-token", "otlp", WITH_TOKEN, None, UNRESTRICTED),
    Program("OpenTelemetry, no token", "otel-none", "otlp", (), FORBIDDEN, "`opentelemetry/python` is not in allow_agent"),
    Program("iOS resource (OTLP), no token", "ios-none", "otlp", ("--as-ios",), None, "agent and service are allowed"),
]


def agents(ingestor: Ingestor) -> list[Row]:
    """The Python agent and an OpenTelemetry SDK, with the token, an API key, wrong ones and none."""
    anonymous = [program.service for program in PROGRAMS if program.service.endswith("-none")]
    with Server(ingestor, configuration(tokens=[TOKEN], services=anonymous, keys=[KEY])) as server:
        told = [_run(program.name, server.url, program.service, *program.options) for program in PROGRAMS]
    rows = []
    for program, outcome in zip(PROGRAMS, told, strict=True):
        accepted = Bounds.exactly(0 if program.refusal else outcome.sent)
        rows.append(_row(server, program.client, program.service, outcome, accepted, program.refusal, program.why))
    return rows


def pages(ingestor: Ingestor) -> list[Row]:
    """The RUM agent in Chromium: from services that are allowed, and from one that is not."""
    clients = {
        "rum-v3": "rum-js v3, allowed service",
        "rum-v2": "rum-js v2, allowed service",
        "rum-stranger": "rum-js v3, other service",
    }
    if reason := browser.missing():
        return [Row.skip(client, reason) for client in clients.values()]
    opened = [browser.Page(service, 2 if service == "rum-v2" else 3, 4, central_config=True) for service in clients]
    with Server(ingestor, configuration(tokens=[TOKEN], services=["rum-v3", "rum-v2"])) as server:
        visits = browser.visit(server.url, opened)
    rows = []
    for (service, client), visit in zip(clients.items(), visits, strict=True):
        allowed = service != "rum-stranger"
        config = 200 if allowed else FORBIDDEN
        if visit.config_statuses != [config]:
            visit.told.wrong.append(f"central configuration answered {visit.config_statuses}, expected was [{config}]")
        accepted, refusal = (visit.told.sent, None) if allowed else (0, FORBIDDEN)
        why = "the service is among allow_service" if allowed else "the service is not among allow_service"
        rows.append(_row(server, client, service, visit.told, Bounds.exactly(accepted), refusal, why))
    return rows


def throttling(ingestor: Ingestor) -> list[Row]:
    """A flood in two waves from 200 addresses behind a trusted proxy; beside it, clients that send much with a token or none."""
    crowd = senders(FLOOD_ADDRESSES - 20, 20, NARROW)
    config = configuration(tokens=[TOKEN], agents=["python", "rum-js"], services=["flood", "apm-busy", "rum-busy"], limit=NARROW)
    with Server(ingestor, config) as server, ThreadPoolExecutor() as pool:
        unlimited = pool.submit(_run, "python_agent", server.url, "apm-beside", *WITH_TOKEN)
        flood(server.url, "flood", crowd, FLOOD_REQUESTS, FLOOD_EVENTS)
        busy = [_busy_agent(server), _busy_page(server)]
        time.sleep(max(0.0, max(sender.last for sender in crowd) + PAUSE - time.monotonic()))
        resumed = time.monotonic()
        pauses = [resumed - sender.last for sender in crowd]
        flood(server.url, "flood", crowd, SECOND_REQUESTS, 1)
        agent = unlimited.result()
    told = _total(crowd)
    low = sum(
        _surely(NARROW.burst, FLOOD_REQUESTS, FLOOD_EVENTS) + _surely(NARROW.refilled(p), SECOND_REQUESTS, 1) for p in pauses
    )
    high = sum(_at_most(NARROW.most(sender.last - sender.first)) for sender in crowd)
    why = "each address has its burst, and what is refilled until it has sent its last"
    if len(server.clients("flood")) != len(crowd):
        told.wrong.append(f"{len(crowd)} addresses sent, the output knows {len(server.clients('flood'))} clients")
    every, why_every = Bounds.exactly(agent.sent), "only anonymous clients are limited"
    return [
        _row(server, f"flood, {len(crowd)} addresses", "flood", told, Bounds(low, high), LIMITED, why),
        _row(server, "elastic-apm, token, meanwhile", "apm-beside", agent, every, None, why_every),
        *(finish() for finish in busy),
    ]


def _busy_agent(server: Server) -> Callable[[], Row]:
    begun = time.monotonic()
    told = _run("python_agent", server.url, "apm-busy", "--no-central-config", "--forwarded-for", "203.0.113.77")
    bounds = _cut_off(time.monotonic() - begun)
    return lambda: _row(server, "elastic-apm, no token, busy", "apm-busy", told, bounds, LIMITED, WHY_CUT_OFF)


def _busy_page(server: Server) -> Callable[[], Row]:
    client = "rum-js v3, busy page"
    if reason := browser.missing():
        return lambda: Row.skip(client, reason)
    begun = time.monotonic()
    [visit] = browser.visit(server.url, [browser.Page("rum-busy", 3, transactions=100)])
    bounds = _cut_off(time.monotonic() - begun)
    return lambda: _row(server, client, "rum-busy", visit.told, bounds, LIMITED, WHY_CUT_OFF)


WHY_CUT_OFF = "the stream is cut where the burst ends, and keeps what was accepted before"


def _cut_off(elapsed: float) -> Bounds:
    """What an address gets that begins with far more than its burst in a single request.

    Batches are of 10 events, as in APM Server: those that fit beside the request's own charge are surely taken.
    """
    return Bounds((NARROW.burst - REQUEST_COST) // 10 * 10, NARROW.most(elapsed) - REQUEST_COST)


def crowding(ingestor: Ingestor) -> list[Row]:
    """More addresses than counters: the total stays within SPEC P1, and newcomers get no fresh burst (P4)."""
    residents, strangers = (group := senders(FLOOD_ADDRESSES, 0, None))[:COUNTERS], group[COUNTERS:]
    requests = NARROW.burst // (REQUEST_COST + FLOOD_EVENTS)
    services = ["residents", "strangers"]
    config = configuration(tokens=[TOKEN], services=services, limit=NARROW, ip_limit=COUNTERS)
    with Server(ingestor, config) as server:
        begun = time.monotonic()
        flood(server.url, "residents", residents, requests, FLOOD_EVENTS)
        flood(server.url, "strangers", strangers, 4, FLOOD_EVENTS)
        elapsed = time.monotonic() - begun
    first, rest = _total(residents), _total(strangers)
    most = _at_most(COUNTERS * NARROW.most(elapsed))
    return [
        _row(
            server,
            f"{COUNTERS} addresses, {COUNTERS} counters",
            "residents",
            first,
            Bounds.exactly(first.sent),
            LIMITED,
            "each has a counter, and sends its burst",
        ),
        _row(
            server,
            f"{len(strangers)} more, no counter left",
            "strangers",
            rest,
            Bounds(0, most - first.accepted),
            LIMITED,
            "a newcomer inherits a counter as it is: all together stay below ip_limit x (burst + limit x time)",
        ),
    ]


def rotation(ingestor: Ingestor) -> list[Row]:
    """The token is rotated under load, once by SIGHUP and once by the file alone; a file with a mistake comes in between."""
    tokens = old, new, neither = "token-of-last-year", "token-of-this-year", "token-of-nobody"
    names = dict(zip(tokens, ("old", "new", "neither"), strict=True))
    with Server(ingestor, configuration(tokens=[old])) as server:
        with Load(server.url, {token: f"rotation-{name}" for token, name in names.items()}) as load:
            time.sleep(0.5)
            steps = Rotation(load, server.config_file, lambda valid: configuration(tokens=valid), frozenset({old}))
            steps.step([old, new], watch=(new, 202), signal=server.hang_up)
            mistake = configuration(tokens=[neither]).replace("secret_token", "secret_tokken")
            steps.blunder(mistake, noticed=lambda: "secret_tokken" in server.log())
            steps.step([new], watch=(old, 401))
        server.complaints += load.failures
        server.complaints += [f"the log holds the {names[token]} token" for token in tokens if token in server.log()]
    why = "each request is judged by a configuration that was in force while it was under way"
    rows = []
    for token, name in names.items():
        told, bounds = steps.outcome(token), steps.bounds(token)
        rows.append(_row(server, f"rotation: {name} token", f"rotation-{name}", told, bounds, UNAUTHENTICATED, why))
    return rows


SCENES: dict[str, Callable[[Ingestor], list[Row]]] = {
    "agents with and without credentials": agents,
    "pages in Chromium": pages,
    "a flood behind a trusted proxy": throttling,
    "more clients than counters": crowding,
    "a rotation of the token under load": rotation,
}


def _row(server: Server, client: str, service: str, told: Outcome, accepted: Bounds, refusal: int | None, why: str) -> Row:
    told.wrong += server.complaints
    return Row(client, Expected(accepted, refusal, why), told, written=server.written()[service])


def _run(name: str, server: str, service: str, *options: str) -> Outcome:
    """Runs one client as a process of its own."""
    command = [
        sys.executable,
        "-m",
        f"e2e.clients.{name}",
        "--server",
        server,
        "--service",
        service,
        *options,
    ]
    # What is set up on this machine for other programs' agents, and its proxies, must not reach these.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ELASTIC_APM_", "OTEL_"))}
    surroundings = {**kept, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT, env=surroundings)
    if run.returncode:
        raise RuntimeError(f"the client {name} failed:\n{run.stderr[-2000:]}")
    return Outcome.from_json(json.loads(run.stdout))


def _surely(room: int, requests: int, events: int) -> int:
    """How many events of the flood are accepted at least: whole requests, each charged for itself and for its events."""
    return min(requests, room // (REQUEST_COST + events)) * events


def _at_most(room: int) -> int:
    """How many events of the flood fit at most: no request brings more events per charge than a whole one."""
    return room * FLOOD_EVENTS // (REQUEST_COST + FLOOD_EVENTS)


def _total(crowd: Sequence[Sender]) -> Outcome:
    total = Outcome()
    for sender in crowd:
        total.merge(sender.outcome)
    return total
