"""A worker as its supervisor sees it: the process, and what can be asked of it."""

import asyncio
import logging
import socket
import sys
from contextlib import suppress
from typing import Any

from auth_sidecar.control import Questions
from auth_sidecar.place import Birth

logger = logging.getLogger(__name__)

MOST_MISSES = 6
"""Times in a row that a worker may not tell its metrics; then it is held to hang, and another takes its place."""


class WorkerProcess:
    """A running worker."""

    def __init__(self, process: asyncio.subprocess.Process, questions: Questions) -> None:
        self.process = process
        self.is_ready = False
        self.misses = 0
        self._questions = questions

    @classmethod
    async def born(cls, birth: Birth) -> "WorkerProcess":
        """Start a worker and tell it its place; whether it serves, its first answer says. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "auth_sidecar.worker", str(theirs.fileno()),
                pass_fds=(theirs.fileno(), *birth.files),
            )  # fmt: skip
        try:
            await asyncio.to_thread(birth.send, ours)
            ours.setblocking(False)
            return cls(process, await Questions.over(ours))
        except BaseException:
            ours.close()
            await _ended(process, 0)
            raise

    async def ask(self, question: str, about: object = None, seconds: float = 10.0) -> Any:
        """Return its answer; raises OSError."""
        return await self._questions.ask(question, about, seconds)

    def missed(self) -> None:
        """Note that it did not tell its metrics, and kill it when that happens too often."""
        self.is_ready = False
        self.misses += 1
        if self.misses >= MOST_MISSES:
            logger.error("a worker hangs and is ended", extra={"pid": self.process.pid})
            self.kill()

    def terminate(self) -> None:
        """Have it end what is open, and then itself."""
        with suppress(ProcessLookupError):
            self.process.terminate()

    def kill(self) -> None:
        """End it at once, whatever it does."""
        with suppress(ProcessLookupError):
            self.process.kill()

    async def ended(self, seconds: float) -> None:
        """Wait so long for it to end, then kill it; nothing of it is left."""
        await _ended(self.process, seconds)
        await self._questions.close()


async def _ended(process: asyncio.subprocess.Process, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
