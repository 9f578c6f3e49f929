"""How each fault is done and undone; nothing here knows of HTTP."""

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol

from demo.faults.catalogue import Fault


class Effect(Protocol):
    """One fault in a running process."""

    async def start(self) -> None:
        """Break."""

    async def stop(self) -> None:
        """Heal, completely."""

    def report(self) -> dict[str, Any]:
        """Return what is worth knowing while it lasts."""


class Setting:
    """A fault that is nothing but an attribute with another value."""

    def __init__(self, owner: object, attribute: str, value: object) -> None:
        self._owner = owner
        self._attribute = attribute
        self._value = value
        self._before = getattr(owner, attribute)

    async def start(self) -> None:
        """Set it."""
        setattr(self._owner, self._attribute, self._value)

    async def stop(self) -> None:
        """Set it back."""
        setattr(self._owner, self._attribute, self._before)

    def report(self) -> dict[str, Any]:
        """Return nothing: there is no more to know."""
        return {}


class Port(Protocol):
    """Something that listens."""

    async def open(self) -> None:
        """Listen."""

    async def close(self) -> None:
        """Close port and connections."""


class ClosedPort:
    """A listener that is closed."""

    def __init__(self, port: Port) -> None:
        self._port = port

    async def start(self) -> None:
        """Close the listener and its connections."""
        await self._port.close()

    async def stop(self) -> None:
        """Listen again."""
        await self._port.open()

    def report(self) -> dict[str, Any]:
        """Return nothing: there is no more to know."""
        return {}


class Burners:
    """A niced process a core; they end with the pipe they hold, however this process ends."""

    def __init__(self, count: int | None = None) -> None:
        self._count = count or os.cpu_count() or 1
        self._processes: list[asyncio.subprocess.Process] = []

    async def start(self) -> None:
        """Start the processes."""
        while len(self._processes) < self._count:
            self._processes.append(
                await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "demo.faults.burner", stdin=asyncio.subprocess.PIPE
                )
            )

    async def stop(self) -> None:
        """End the processes and wait for their end."""
        ending, self._processes = self._processes, []
        for process in ending:
            if process.returncode is None:
                process.kill()
        for process in ending:
            await process.wait()

    def report(self) -> dict[str, Any]:
        """Return the ids of the processes."""
        return {"processes": [process.pid for process in self._processes]}


class Faults:
    """The effects by name, and which of them are on; breaking and healing twice is harmless."""

    def __init__(self, effects: Mapping[Fault, Effect]) -> None:
        self._effects = effects
        self._since: dict[Fault, float] = {}
        self._lock = asyncio.Lock()

    async def break_(self, fault: Fault) -> None:
        """Put a fault into effect."""
        async with self._lock:
            if fault not in self._since:
                await self._effects[fault].start()
                self._since[fault] = time.time()

    async def heal(self, fault: Fault) -> None:
        """End a fault."""
        async with self._lock:
            if fault in self._since:
                await self._effects[fault].stop()
                del self._since[fault]

    async def heal_all(self) -> None:
        """End every fault."""
        for fault in list(self._since):
            await self.heal(fault)

    def is_active(self, fault: Fault) -> bool:
        """Return whether a fault is in effect."""
        return fault in self._since

    def report(self) -> dict[str, Any]:
        """Return the faults in effect: since when (Unix seconds), and what they say."""
        return {fault: {"since": since, **self._effects[fault].report()} for fault, since in self._since.items()}
