"""When to probe: every agent at its interval with jitter, as many at once as allowed, none waiting for another."""

import asyncio
import heapq
import logging
import random
from collections.abc import Awaitable, Callable, Iterable
from itertools import count

from exporter.fleet import Agent

logger = logging.getLogger(__name__)

JITTER = 0.05
"""Part of an interval by which probes are moved, so that agents configured together drift apart."""
FIRST_ROUND_PER_SECOND = 500.0
"""How fast agents just added are probed for the first time."""
WARN_EVERY_SECONDS = 60.0
TICK_SECONDS = 0.01
"""Due times nearer than this are served together: waking up for each costs more than it gains."""


class Poller:
    """One queue of due times; a probe is a task only while it runs."""

    def __init__(self, look: Callable[[Agent], Awaitable[None]], concurrency: int) -> None:
        self._look = look
        self._free = asyncio.Semaphore(concurrency)
        self._concurrency = concurrency
        self._queue: list[tuple[float, int, Agent]] = []
        self._order = count()
        self._has_news = asyncio.Event()
        self._warn_again_at = 0.0
        self._running: set[asyncio.Task[None]] = set()

    def add(self, agents: Iterable[Agent]) -> None:
        """Probe these from now on, the first time spread over a moment."""
        agents = list(agents)
        now, spread = asyncio.get_running_loop().time(), len(agents) / FIRST_ROUND_PER_SECOND
        for agent in agents:
            self._schedule(agent, now + random.uniform(0, min(agent.target.interval, spread)))  # noqa: S311 - no secret

    def set_concurrency(self, concurrency: int) -> None:
        """Allow so many probes at once from now on; those under way are not counted."""
        if concurrency != self._concurrency:
            self._free, self._concurrency = asyncio.Semaphore(concurrency), concurrency

    async def run(self) -> None:
        """Probe until cancelled; then probes under way are cancelled too, and their sessions ended."""
        try:
            while True:
                await self._wait_until_due()
                free = self._free
                await free.acquire()
                self._start(heapq.heappop(self._queue)[2], free)
        finally:
            running = list(self._running)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _wait_until_due(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._queue or self._queue[0][0] > loop.time():
            self._has_news.clear()
            wait = max(self._queue[0][0] - loop.time(), TICK_SECONDS) if self._queue else None
            try:
                async with asyncio.timeout(wait):
                    await self._has_news.wait()
            except TimeoutError:
                return

    def _start(self, agent: Agent, free: asyncio.Semaphore) -> None:
        if agent.is_removed:
            free.release()
            return
        self._warn_when_late(agent)
        task = asyncio.create_task(self._probe(agent, free))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _warn_when_late(self, agent: Agent) -> None:
        now = asyncio.get_running_loop().time()
        late = now - agent.due
        if late > agent.target.interval and now >= self._warn_again_at:
            self._warn_again_at = now + WARN_EVERY_SECONDS
            extra = {"agent": agent.target.name, "seconds_late": round(late, 1)}
            logger.warning("probes are late; raise limits.concurrent_probes or shard the fleet", extra=extra)

    async def _probe(self, agent: Agent, free: asyncio.Semaphore) -> None:
        try:
            await self._look(agent)
        except Exception:
            logger.exception("a probe broke", extra={"agent": agent.target.name})
        finally:
            free.release()
            self._schedule(agent, self._next(agent))

    def _next(self, agent: Agent) -> float:
        """Return the next due time: one interval after the last one, or from now on when that has passed."""
        interval = agent.target.interval
        due = agent.due + interval * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
        return max(due, asyncio.get_running_loop().time())

    def _schedule(self, agent: Agent, due: float) -> None:
        agent.due = due
        if not agent.is_removed:
            heapq.heappush(self._queue, (due, next(self._order), agent))
            if self._queue[0][2] is agent:
                self._has_news.set()
