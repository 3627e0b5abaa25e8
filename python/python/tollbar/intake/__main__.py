"""`python -m tollbar.intake`: the command line.

Exit codes: 0 after an orderly end, 2 if something that it was given is unusable. What is wrong goes to standard error,
without a traceback; events are the only thing that is ever written to standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tollbar import ConfigError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

UNUSABLE = 2

log = logging.getLogger("tollbar.intake")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the ingestor; return the exit code."""
    options = _parser().parse_args(arguments)
    # Until the server handles it: a reload that comes early must not end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logging.basicConfig(
        stream=sys.stderr, level=options.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        from tollbar.intake import server  # noqa: PLC0415 (its packages are an extra)
        from tollbar.intake.output import Output  # noqa: PLC0415
        from tollbar.intake.reload import Reloader  # noqa: PLC0415
    except ModuleNotFoundError as error:
        return _unusable(f"the package {error.name} is missing: pip install 'tollbar[intake]'")

    try:
        reloader = Reloader(options.config)
    except ConfigError as error:
        return _unusable(*(problem.message for problem in error.problems))
    for warning in reloader.engine.warnings:
        log.warning("%s", warning)
    try:
        sock = server.listen(options.listen)
    except server.ListenError as error:
        return _unusable(str(error))
    try:
        output = Output(options.output)
    except OSError as error:
        return _unusable(f"cannot write to {options.output}: {error.strerror}")

    settings = server.Settings(
        idle_timeout=options.idle_timeout,
        drain_timeout=options.drain_timeout,
        max_connections=options.max_connections,
    )
    _run(server.serve(reloader, sock, output, settings))
    return 0


def _run(serving: Coroutine[object, object, None]) -> None:
    """Run on uvloop where there is one."""
    try:
        import uvloop  # noqa: PLC0415
    except ModuleNotFoundError:
        asyncio.run(serving)
    else:
        uvloop.run(serving)


def _unusable(*problems: str) -> int:
    for problem in problems:
        print(problem, file=sys.stderr)  # noqa: T201 (this is the program's answer)
    return UNUSABLE


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 86400:
        raise argparse.ArgumentTypeError(f"found {text}; accepted are seconds, more than 0 and up to 86400")
    return seconds


def _connections(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"found {text}; accepted is a number of at least 1")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tollbar.intake",
        description="An intake server for Elastic APM agents and OTLP/HTTP exporters, gated by Tollbar. "
        "SIGHUP reloads the configuration, as does a change of its file; SIGTERM drains and stops.",
    )
    add = parser.add_argument
    add("--config", required=True, type=Path, metavar="FILE", help="the configuration, in the shape of apm-server.yml")
    add(
        "--listen",
        default="127.0.0.1:8200",
        metavar="ADDR",
        help="HOST:PORT, [IPV6]:PORT, :PORT or unix:PATH (whose clients count as 127.0.0.1); default %(default)s",
    )
    add(
        "--output", default="-", metavar="FILE", help="accepted events are appended here as ndjson; - (default): stdout"
    )
    add(
        "--idle-timeout",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="end a request whose client has sent nothing for this long; default %(default)g",
    )
    add(
        "--drain-timeout",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="after SIGTERM, requests in flight may go on for this long; default %(default)g",
    )
    add(
        "--max-connections",
        type=_connections,
        default=1024,
        metavar="N",
        help="further connections are answered 503; default %(default)s",
    )
    add("--log-level", default="info", choices=["debug", "info", "warning", "error"], help="default %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
