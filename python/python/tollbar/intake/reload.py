"""Loading the configuration, and taking up a changed one while requests are being served.

Invariants: a configuration is taken whole or not at all. One that is refused is logged with every problem, and the one
before stays in force. No change is missed: what a file looked like is noted before it is read.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from watchfiles import awatch

from tollbar import ConfigError, Engine

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("tollbar.intake")

LOOK_MILLISECONDS = 1000
"""How often files are looked at even if no change is reported: not all file systems do."""

_Signature = tuple[int, int, int] | None


class Reloader:
    """Reloads the engine's files on demand and when one changes. Reloads never overlap."""

    def __init__(self, config: Path) -> None:
        """Load the configuration. Raises `ConfigError`."""
        self._config = config
        self._seen = {config: _signature(config)}
        self.engine = Engine.from_file(config)
        self._seen = {**self._signatures(), **self._seen}
        self._lock = asyncio.Lock()
        self._moved = asyncio.Event()

    async def reload(self, why: str) -> bool:
        """Reload now. Returns whether the configuration was taken."""
        async with self._lock:
            self._seen = self._signatures()
            try:
                generation = await asyncio.to_thread(self.engine.reload, self._config)
            except ConfigError as error:
                log.error("%s: configuration refused, the one before stays in force:", why)
                for problem in error.problems:
                    log.error("  %s", problem.message)
                return False
            log.info("%s: configuration %d is in force", why, generation)
            for warning in self.engine.warnings:
                log.warning("%s", warning)
            signatures = self._signatures()
            if signatures.keys() != self._seen.keys():
                # Files that it was read from for the first time: they have been read just now.
                self._seen = {file: self._seen.get(file, now) for file, now in signatures.items()}
                self._moved.set()
            return True

    async def watch(self) -> None:
        """Reload whenever one of the files changes, until cancelled.

        Directories are watched, not files: editors and deployments replace files, and symbolic links on the way.
        """
        while True:
            self._moved.clear()
            directories = {file.absolute().parent for file in self._files()}
            async for _ in awatch(
                *directories,
                recursive=False,
                debounce=200,
                step=50,
                rust_timeout=LOOK_MILLISECONDS,
                yield_on_timeout=True,
                stop_event=self._moved,
            ):
                for file, signature in self._signatures().items():
                    # A file that is gone may be on its way back; the configuration in force needs none.
                    if signature is not None and signature != self._seen.get(file):
                        await self.reload(f"{file.name} has changed")
                        break

    def _files(self) -> set[Path]:
        return {self._config, *self.engine.files}

    def _signatures(self) -> dict[Path, _Signature]:
        return {file: _signature(file) for file in self._files()}


def _signature(file: Path) -> _Signature:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
