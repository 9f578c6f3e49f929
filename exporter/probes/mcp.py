"""MCP over Streamable HTTP: is the server there, does it speak the protocol, which tools does it list."""

import asyncio
import time

from contract.vocabulary import ProbeOutcome
from exporter.exchange import HttpClient
from exporter.jsonrpc import RpcError
from exporter.mcp_client import LEGACY, Dialog, conversation
from exporter.outcome import Failure, Identity, ProbeResult
from exporter.targets import Target
from exporter.tool_listing import list_tools
from exporter.tool_pins import Fingerprints

_WRONG_ERA = frozenset({ProbeOutcome.HTTP_ERROR, ProbeOutcome.PROTOCOL_ERROR})


class _Look:
    """What one probe has found so far."""

    def __init__(self, ends_at: float) -> None:
        self.started = time.perf_counter()
        self.ends_at = ends_at
        """When its time is up, by the loop's clock."""
        self.duration: float | None = None
        """Seconds until the server had shown that it works; None before that."""
        self.identity: Identity | None = None
        self.tools: Fingerprints | None = None
        self.warning = ""

    def elapsed(self) -> float:
        return time.perf_counter() - self.started

    def result(self, failure: Failure | None, status: int) -> ProbeResult:
        """Judge: what fails after the server has shown that it works only degrades it."""
        if failure is None:
            outcome, detail = (ProbeOutcome.DEGRADED if self.warning else ProbeOutcome.OK), self.warning
        elif self.duration is not None and failure.outcome is not ProbeOutcome.TOOL_ERROR:
            outcome, detail = ProbeOutcome.DEGRADED, failure.detail
        else:
            outcome, detail = failure.outcome, failure.detail
        duration = self.elapsed() if self.duration is None else self.duration
        return ProbeResult(outcome, duration, detail, self.identity, status, self.tools)


class McpProbe:
    """Knows the era of its server once it has answered, and when its tools are to be listed again."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._known_era: str | None = None
        self._identity: Identity | None = None
        self._tools_due = 0.0
        self._early_due = 0.0
        """From when on a server that has changed may have its tools listed before they are due."""

    async def __call__(self, http: HttpClient, timeout_seconds: float) -> ProbeResult:
        """Look once."""
        http.status = 0
        look = _Look(asyncio.get_running_loop().time() + timeout_seconds)
        try:
            async with asyncio.timeout_at(look.ends_at) as deadline:
                failure = await self._look(http, look, deadline)
        except TimeoutError:
            failure = Failure(ProbeOutcome.TIMEOUT, f"{self._stage(look)} within {timeout_seconds:g}s")
        self._remember(look, failure, http)
        if failure is not None and failure.is_challenge and self._target.credentials is None:
            failure = Failure(
                ProbeOutcome.DEGRADED, f"alive but protected, and no credentials are configured: {failure.detail}"
            )
        return look.result(failure, http.status)

    async def _look(self, http: HttpClient, look: _Look, deadline: asyncio.Timeout) -> Failure | None:
        failure = await self._converse(http, look, deadline, self._known_era)
        if failure and look.identity is None and self._known_era == LEGACY and failure.outcome in _WRONG_ERA:
            # The server may have been upgraded: ask in the other era before calling it broken.
            deadline.reschedule(look.ends_at)
            failure = await self._converse(http, look, deadline, None)
        return failure

    async def _converse(
        self, http: HttpClient, look: _Look, deadline: asyncio.Timeout, era: str | None
    ) -> Failure | None:
        async with conversation(http, era) as dialog:
            failure = dialog if isinstance(dialog, Failure) else await self._examine(dialog, look)
            # What follows is the end of a session, with its own bound.
            deadline.reschedule(None)
        return failure

    async def _examine(self, dialog: Dialog, look: _Look) -> Failure | None:
        if failure := await dialog.ping():
            return failure
        look.duration = look.elapsed()
        look.identity, look.warning = dialog.identity, dialog.warning
        if failure := await self._list_tools(dialog, look):
            return failure
        return await self._check_tool(dialog) if self._target.check_tool else None

    async def _list_tools(self, dialog: Dialog, look: _Look) -> Failure | None:
        if not dialog.identity.has_tools:
            look.tools = {}
        elif self._is_listing_due(dialog.identity):
            listed = await list_tools(dialog)
            if isinstance(listed, Failure):
                return listed
            look.tools = listed
            self._tools_due = time.monotonic() + self._target.tools_interval
        return None

    def _is_listing_due(self, identity: Identity) -> bool:
        """Whether to list now: once an interval, and once more in it for a server that says it has changed."""
        now = time.monotonic()
        if now >= self._tools_due:
            return True
        if identity == self._identity or now < self._early_due:
            return False
        self._early_due = now + self._target.tools_interval
        return True

    async def _check_tool(self, dialog: Dialog) -> Failure | None:
        call = self._target.check_tool
        assert call is not None  # noqa: S101 - the caller asked
        reply = await dialog.call("tools/call", {"name": call.name, "arguments": call.arguments})
        if isinstance(reply, Failure):
            return reply
        if isinstance(reply, RpcError):
            return Failure(ProbeOutcome.TOOL_ERROR, f"tool {call.name}: error {reply.code} {reply.message}")
        if reply.value.get("isError"):
            return Failure(ProbeOutcome.TOOL_ERROR, f"tool {call.name} reports an error")
        return None

    def _remember(self, look: _Look, failure: Failure | None, http: HttpClient) -> None:
        """Cache the era of a server that works, forget it otherwise; a refused token is not offered again."""
        self._identity = look.identity
        self._known_era = look.identity.era if look.identity else None
        if failure is not None and failure.outcome is ProbeOutcome.AUTH_ERROR:
            http.token.reject()

    @staticmethod
    def _stage(look: _Look) -> str:
        return "no complete answer" if look.identity is None else "the server answered, but its tools did not"
