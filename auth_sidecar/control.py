"""How the supervisor speaks with a worker: questions and answers, a line of JSON each, over a pair of sockets.

The end of the connection tells each side that the other has gone, whatever it died of.
"""

import asyncio
import contextlib
import itertools
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

logger = logging.getLogger(__name__)

MAX_LINE_BYTES = 64 << 20
"""Longest message; metrics are the longest."""

Answer = Callable[[Any], Awaitable[Any]]


class Questions:
    """The asking side of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._open: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.ensure_future(self._read())

    @classmethod
    async def over(cls, connection: socket.socket) -> "Questions":
        """Ask over a connected socket."""
        return cls(*await asyncio.open_connection(sock=connection, limit=MAX_LINE_BYTES))

    async def ask(self, question: str, about: object = None, seconds: float = 10.0) -> Any:
        """Return the answer to a question; raises OSError, TimeoutError among them, when there is none."""
        if self._reading.done():
            raise ConnectionResetError("nobody is there")
        number = next(self._numbers)
        future = self._open[number] = asyncio.get_running_loop().create_future()
        self._writer.write(orjson.dumps([number, question, about]) + b"\n")
        try:
            async with asyncio.timeout(seconds):
                await self._writer.drain()
                return await future
        finally:
            self._open.pop(number, None)

    async def close(self) -> None:
        """End the connection."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        await self._reading

    async def _read(self) -> None:
        try:
            # A line without its end is the last of a process that died while it wrote.
            while (line := await self._reader.readline()).endswith(b"\n"):
                number, answer = orjson.loads(line)
                future = self._open.get(number)
                if future and not future.done():
                    future.set_result(answer)
        except OSError:
            pass
        except (ValueError, TypeError) as error:
            logger.error("an answer cannot be read; its connection is given up", extra={"problem": str(error)})
        finally:
            # The other side takes this as the end, should it still be there.
            self._writer.close()
            for future in self._open.values():
                if not future.done():
                    future.set_exception(ConnectionResetError("it has ended"))


async def answer(connection: socket.socket, answers: Mapping[str, Answer]) -> None:
    """Answer questions until the asking side has gone."""
    reader, writer = await asyncio.open_connection(sock=connection, limit=MAX_LINE_BYTES)
    tasks: set[asyncio.Task[None]] = set()

    async def reply(number: int, question: str, about: Any) -> None:
        try:
            writer.write(orjson.dumps([number, await answers[question](about)]) + b"\n")
        except Exception:
            logger.exception("a question of the supervisor has no answer", extra={"question": question})

    try:
        while line := await reader.readline():
            task = asyncio.ensure_future(reply(*orjson.loads(line)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    except OSError:
        return
    finally:
        for task in tasks:
            task.cancel()
