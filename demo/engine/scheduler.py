"""When runs begin: goals arrive at a steady pace, wait in a bounded queue, and are worked on a few at a time."""

import asyncio
import itertools
import logging
import time
from collections import deque

from demo.engine.agents import Agents, CallFailed
from demo.engine.goals import goal
from demo.engine.reviewer import GOLDEN
from demo.engine.statistics import Statistics
from demo.engine.workflow import Run, Workflow

logger = logging.getLogger(__name__)

QUEUE_LIMIT = 50
"""Goals that may wait; what arrives after that is not accepted."""
READY_RETRY_SECONDS = 2.0


class Scheduler:
    """Feeds the workflow."""

    def __init__(
        self, workflow: Workflow, statistics: Statistics, *, interval_seconds: float, concurrency: int
    ) -> None:
        self._workflow = workflow
        self._statistics = statistics
        self._interval_seconds = interval_seconds
        self._concurrency = concurrency
        self._queue: deque[tuple[float, Run]] = deque()
        self._arrived = asyncio.Semaphore(0)

    async def run(self) -> None:
        """Let goals arrive and work on them, until cancelled; runs in flight are then counted as cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._arrive())
            for _ in range(self._concurrency):
                group.create_task(self._work())

    async def _arrive(self) -> None:
        for number in itertools.count(1):
            if len(self._queue) < QUEUE_LIMIT:
                self._queue.append((time.monotonic(), Run(number, goal(number))))
                self._note_queue()
                self._arrived.release()
            else:
                logger.warning("queue full, goal not accepted", extra={"run": number})
            await asyncio.sleep(self._interval_seconds * (0.5 + number * GOLDEN % 1))

    async def _work(self) -> None:
        while True:
            await self._arrived.acquire()
            _, run = self._queue.popleft()
            self._note_queue()
            await self._workflow.execute(run)

    def _note_queue(self) -> None:
        self._statistics.queued_since = [since for since, _ in self._queue]


async def until_ready(agents: Agents) -> None:
    """Return when a tool can be called: what starts after the engine does not make its first runs fail."""
    while True:
        try:
            await agents.call("documentation", "search_documents", {"query": "ready"})
        except CallFailed as error:
            logger.info("waiting for the agents", extra={"problem": str(error)})
            await asyncio.sleep(READY_RETRY_SECONDS)
        else:
            return
