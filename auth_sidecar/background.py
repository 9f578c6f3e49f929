"""What runs beside the requests for as long as the sidecar does: a task that fails is told of, counted, begun again.

A watcher that ended unnoticed would let revoked tokens, old keys or a dead worker stay in force for ever.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from contract.instruments import Instruments

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0
"""How long a task that has failed waits before it begins again."""


class Background:
    """Tasks by name; `stop()` ends them all."""

    def __init__(self, instruments: Instruments) -> None:
        self._failures = instruments.counter("mcp_sidecar_background_failures_total")
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run what never ends by itself; it must be able to begin anew at any point."""
        self._tasks.append(asyncio.ensure_future(self._run(name, work)))

    async def stop(self) -> None:
        """End all tasks; others may be started afterwards."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _run(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception:
                logger.exception("a background task failed and begins again", extra={"task": name})
                self._failures.inc()
            await asyncio.sleep(AGAIN_SECONDS)
