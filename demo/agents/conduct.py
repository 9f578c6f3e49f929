"""How an agent behaves beside what its tools do: thinking time, and the faults that are switched on."""

import asyncio
from collections import Counter
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from mcp_types import CallToolResult, TextContent

GOLDEN = 0.618034
"""Multiples of it modulo 1 spread evenly: varied, and the same in every run."""


class Conduct:
    """Shared by all agents of a process; attributes change while they run."""

    def __init__(self, think_seconds: float = 0.0) -> None:
        self.think_seconds = think_seconds
        """Mean time a tool call takes, as a language model would."""
        self.delay_seconds: dict[str, float] = {}
        """Added to every answer of an agent, by its name."""
        self.fail_every: int = 0
        """One in so many tool calls of an agent fails; 0 for none."""
        self.is_absurd = False
        """Whether the validators find fault with every plan."""
        self._calls: Counter[str] = Counter()

    def middleware(self, agent: str) -> ServerMiddleware[Any]:
        """Return what stands before the handlers of an agent's server."""

        async def behave(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
            await asyncio.sleep(self.delay_seconds.get(agent, 0.0))
            if ctx.method != "tools/call":
                return await call_next(ctx)
            self._calls[agent] += 1
            number = self._calls[agent]
            await asyncio.sleep(self.think_seconds * (0.5 + number * GOLDEN % 1))
            if self.fail_every and number % self.fail_every == 0:
                text = TextContent(type="text", text="demo fault tool-errors: this call fails on purpose")
                return CallToolResult(content=[text], is_error=True)
            return await call_next(ctx)

        return behave
