"""The part of `Client` that has to be a coroutine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tollbar import Client, Decision


async def wait(client: Client, n: int, timeout: float, now: int | None) -> Decision:  # noqa: ASYNC109
    """Charge `n` events if they will fit within `timeout` seconds, and sleep until they do."""
    decision = client.reserve(n, max_wait=timeout, now=now)
    if decision.wait > 0:
        await asyncio.sleep(decision.wait)
    return decision
