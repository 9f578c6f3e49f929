"""The agents as the engine sees them: tools by type, called through the sidecar, the other instance when one fails."""

import itertools
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from contract.log import RateLimit
from contract.tracing import Tracer, spanning
from demo import wire
from demo.engine.tokens import NoToken, TokenSource

logger = logging.getLogger(__name__)
logger.addFilter(RateLimit())

ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 15.0
LONGEST_PAUSE_SECONDS = 120.0

Json = dict[str, Any]


class CallFailed(Exception):
    """A tool could not be called, or failed, on every instance tried."""


class Unreachable(Exception):
    """An instance does not answer; it is left alone for a while."""


class ToolFailed(Exception):
    """A tool answered with an error."""


class Instance:
    """One agent behind the sidecar; every failure in a row doubles the pause until it is tried again."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.paused_until = 0.0
        self._failures = 0

    def failed(self) -> None:
        """Note that it did not answer."""
        pause = min(FIRST_PAUSE_SECONDS * 2**self._failures, LONGEST_PAUSE_SECONDS)
        self._failures += 1
        self.paused_until = time.monotonic() + pause

    def answered(self) -> None:
        """Note that it did."""
        self._failures = 0
        self.paused_until = 0.0


class Agents:
    """Calls tools; the instances of a type take turns."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        tokens: TokenSource,
        urls: Mapping[str, Sequence[str]],
        seconds: float = 10.0,
        tracer: Tracer | None = None,
    ) -> None:
        """`urls` has the MCP addresses of each type's instances; `seconds` is the time one call may take."""
        self._session = session
        self._tokens = tokens
        self._tracer = tracer
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._instances = {agent_type: [Instance(url) for url in own] for agent_type, own in urls.items()}
        self._turns = {agent_type: itertools.count() for agent_type in urls}

    async def call(self, agent_type: str, tool: str, arguments: Json) -> Json:
        """Return the structured result of a tool; raises CallFailed when no attempt succeeded."""
        reason: Exception | None = None
        tried: Counter[Instance] = Counter()
        turn = next(self._turns[agent_type])
        for _ in range(ATTEMPTS):
            instance = self._pick(agent_type, turn, tried)
            tried[instance] += 1
            try:
                with spanning(self._tracer, f"tools/call {tool}", "client", **_said(tool)):
                    result = await self._attempt(instance, tool, arguments)
            except Unreachable as error:
                instance.failed()
                reason = error
            except ToolFailed as error:
                reason = error
            except NoToken as error:
                raise CallFailed(str(error)) from error
            else:
                instance.answered()
                return result
            logger.warning("attempt failed", extra={"url": instance.url, "tool": tool, "problem": str(reason)})
        raise CallFailed(f"{tool}: {reason}")

    def _pick(self, agent_type: str, turn: int, tried: Counter[Instance]) -> Instance:
        """Return whom to try: not one on pause, not one that just failed, whoever's turn it is."""
        own = self._instances[agent_type]
        start = turn % len(own)
        now = time.monotonic()
        return min([*own[start:], *own[:start]], key=lambda instance: (instance.paused_until > now, tried[instance]))

    async def _attempt(self, instance: Instance, tool: str, arguments: Json) -> Json:
        token = await self._tokens.current()
        headers, body = wire.request(tool, arguments, "workflow-engine")
        headers["Authorization"] = f"Bearer {token}"
        try:
            async with self._session.post(instance.url, json=body, headers=headers, timeout=self._timeout) as response:
                text = await response.text()
                if response.status == 401:
                    self._tokens.discard(token)
                if response.status != 200:
                    raise Unreachable(f"{instance.url} answered {response.status}: {text[:200]}")
                return _structured(wire.result(response.content_type, text))
        except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError, wire.ProtocolError) as error:
            raise Unreachable(f"{instance.url}: {type(error).__name__}: {error}") from error


def _said(tool: str) -> dict[str, str]:
    """Return the attributes of a call's span, as the OpenTelemetry conventions for MCP name them."""
    return {
        "mcp__method__name": "tools/call",
        "gen_ai__operation__name": "execute_tool",
        "gen_ai__tool__name": tool,
        "mcp__protocol__version": wire.REVISION,
        "network__transport": "tcp",
    }


def _structured(result: Json) -> Json:
    if result.get("isError"):
        raise ToolFailed(str(result.get("content"))[:300])
    structured = result.get("structuredContent")
    if not isinstance(structured, dict):
        raise wire.ProtocolError("the result has no structured content")
    return structured
