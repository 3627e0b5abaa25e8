"""Loading the configuration, taking up a changed one while requests are being served, and telling the operator.

Invariants: a configuration is taken whole or not at all; one that is refused leaves the one before in force. Every
attempt is logged once, whoever made it, a refused one with its problems, one that is taken with its warnings. A file
that is being written is not read: a SIGHUP in the midst of it would find it empty, which switches authentication off.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import time
from typing import TYPE_CHECKING

from tollbar import ConfigError, Engine

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

log = logging.getLogger("tollbar.intake")

LOOK_SECONDS = 0.5
"""How often the engine's statistics are looked at for something to log. The files are watched by the engine."""

QUIET_SECONDS = 0.1
"""The files must stay as they are for so long before a reload that is asked for reads them."""

PATIENCE_SECONDS = 3.0
"""Files that change for longer are not read."""

COMPLAINT_SECONDS = 10.0
"""That API keys cannot be verified is logged so often at most."""


class Reloader:
    """Reloads the engine on demand and when one of its files changes."""

    def __init__(self, config: Path) -> None:
        """Load the configuration. Raises `ConfigError`."""
        self.engine = Engine.from_file(config)
        self._logged: tuple[datetime, int] | None = None
        self._unavailable = 0
        self._complained = -COMPLAINT_SECONDS
        self._telling = asyncio.Lock()

    async def reload(self, why: str) -> None:
        """Reload once the files are quiet."""
        log.info("%s: reloading", why)
        if not await self._quiet():
            log.error("%s: not reloaded: the files have kept changing for %g s; try again", why, PATIENCE_SECONDS)
            return
        # One that is refused is logged as every attempt is.
        with contextlib.suppress(ConfigError):
            await asyncio.to_thread(self.engine.reload)
        await self._tell()

    async def watch(self) -> None:
        """Reload whenever one of the files changes, until cancelled."""
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self.engine.watch())
            except OSError as error:
                log.warning("%s; until then, reload with SIGHUP", error)
            while True:
                await self._tell()
                await asyncio.sleep(LOOK_SECONDS)

    async def _quiet(self) -> bool:
        """Wait until the files have stayed as they are; False: they haven't."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        before = await asyncio.to_thread(self._contents)
        while time.monotonic() < deadline:
            await asyncio.sleep(QUIET_SECONDS)
            after = await asyncio.to_thread(self._contents)
            if after == before:
                return True
            before = after
        return False

    def _contents(self) -> list[tuple[int, int, bytes] | None]:
        return [_content(file) for file in self.engine.files]

    async def _tell(self) -> None:
        # One at a time: another one would take for news what this one is logging.
        async with self._telling:
            await self._tell_alone()

    async def _tell_alone(self) -> None:
        stats = await asyncio.to_thread(self.engine.stats)
        attempts = [(reload["time"], reload["generation"]) for reload in stats["reloads"]]
        # Not found: the engine keeps the last 32, so all of them are new.
        known = attempts.index(self._logged) + 1 if self._logged in attempts else 0
        for reload in stats["reloads"][known:]:
            if reload["changed"] is None:
                log.error("configuration refused, the one before stays in force:")
                for problem in reload["problems"]:
                    log.error("  %s", problem.message)
                if further := reload["problem_count"] - len(reload["problems"]):
                    log.error("  and %d further problems", further)
                continue
            changed = ", ".join(reload["changed"]) or "nothing"
            log.info("configuration %d is in force; changed: %s", reload["generation"], changed)
            for warning in self.engine.warnings:
                log.warning("%s", warning)
        self._logged = attempts[-1] if attempts else None
        self._complain(stats["api_keys"]["unavailable"], stats["api_keys"]["last_error"])

    def _complain(self, unavailable: int, last_error: str | None) -> None:
        now = time.monotonic()
        if unavailable > self._unavailable and now - self._complained >= COMPLAINT_SECONDS:
            log.error("API keys cannot be verified now: %s (%d times)", last_error, unavailable - self._unavailable)
            self._unavailable, self._complained = unavailable, now


def _content(file: Path) -> tuple[int, int, bytes] | None:
    """Return what tells a file from one that was written meanwhile, even if both are empty; None: it can't be read."""
    try:
        with file.open("rb") as opened:
            status = os.fstat(opened.fileno())
            return status.st_ino, status.st_mtime_ns, hashlib.sha256(opened.read()).digest()
    except OSError:
        return None
