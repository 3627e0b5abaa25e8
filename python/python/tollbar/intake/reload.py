"""Taking up a changed configuration while requests are being served.

Invariant: a configuration is taken whole or not at all. One that is refused is logged with every problem, and the one
before stays in force.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from watchfiles import awatch

from tollbar import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from tollbar import Engine

log = logging.getLogger("tollbar.intake")

_Signature = tuple[int, int, int] | None


class Reloader:
    """Reloads the engine's file on demand and when it changes. Reloads never overlap."""

    def __init__(self, engine: Engine, file: Path) -> None:
        self._engine = engine
        self._file = file
        self._lock = asyncio.Lock()
        self._seen = _signature(file)

    async def reload(self, why: str) -> bool:
        """Reload now. Returns whether the configuration was taken."""
        async with self._lock:
            self._seen = _signature(self._file)
            try:
                generation = await asyncio.to_thread(self._engine.reload)
            except ConfigError as error:
                log.error("%s: configuration refused, the one before stays in force:", why)
                for problem in error.problems:
                    log.error("  %s", problem.message)
                return False
            log.info("%s: configuration %d is in force", why, generation)
            for warning in self._engine.warnings:
                log.warning("%s", warning)
            return True

    async def watch(self) -> None:
        """Reload whenever the file changes, until cancelled.

        The directory is watched, not the file: editors and deployments replace files, and symbolic links on the way.
        """
        async for _ in awatch(self._file.parent, recursive=False, debounce=200, step=50):
            signature = _signature(self._file)
            # A file that is gone may be on its way back; the configuration in force needs none.
            if signature is not None and signature != self._seen:
                await self.reload(f"{self._file.name} has changed")


def _signature(file: Path) -> _Signature:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
