"""The fleet: every agent with its latest result, and the series rendered from them."""

import enum
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial

from contract.instruments import Instruments
from contract.vocabulary import ProbeOutcome, ToolChange
from exporter.exchange import HttpClient
from exporter.exposition import header, labels, sample
from exporter.outcome import Identity, ProbeResult
from exporter.probes import Probe
from exporter.targets import Target
from exporter.tool_pins import Drift, Fingerprints, drift

logger = logging.getLogger(__name__)

STALE_INTERVALS = 3
"""An agent not probed for so many of its intervals is stale: what we know of it no longer counts."""

UP = "mcp_agent_up"
FAMILIES = (
    UP,
    "mcp_agent_probe_duration_seconds",
    "mcp_agent_last_probe_timestamp_seconds",
    "mcp_agent_last_success_timestamp_seconds",
    "mcp_agent_info",
    "mcp_agent_tools",
    "mcp_agent_tool_drift",
)


class AgentState(enum.StrEnum):
    """What is known of an agent now; unhealthy, unknown and stale are three things."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    STALE = "stale"
    UNKNOWN = "unknown"


class Agent:
    """One watched agent: its target, how it is probed, and its latest result."""

    __slots__ = (
        "_labels", "drift", "due", "fingerprints", "http", "identity", "identity_at", "is_removed", "lines", "probe",
        "probed_at", "result", "success_at", "target",
    )  # fmt: skip

    def __init__(self, target: Target, probe: Probe, http: HttpClient) -> None:
        self.target = target
        self.probe = probe
        self.http = http
        self.due = 0.0
        self.is_removed = False
        self.result: ProbeResult | None = None
        self.probed_at = self.success_at = 0.0
        self.identity: Identity | None = None
        """What the server said of itself when that last became a series."""
        self.identity_at = 0.0
        self.fingerprints: Fingerprints | None = None
        self.drift: Drift | None = None
        self.lines: list[bytes] = []
        self._labels = labels(("agent_type", "agent"), (target.agent_type, target.name)).encode()

    def state(self, now: float) -> AgentState:
        """Return what is known at `now`, in Unix time."""
        if self.result is None:
            return AgentState.UNKNOWN
        if now - self.probed_at > STALE_INTERVALS * self.target.interval + self.target.timeout:
            return AgentState.STALE
        if self.result.outcome is ProbeOutcome.OK:
            return AgentState.HEALTHY
        return AgentState.DEGRADED if self.result.outcome.is_healthy else AgentState.UNHEALTHY

    def take(self, result: ProbeResult, now: float, pins: Fingerprints | None) -> None:
        """Make a result the latest one and render its series."""
        self.result, self.probed_at = result, now
        if result.outcome.is_healthy:
            self.success_at = now
        if result.identity is not None and result.identity != self.identity and self._may_change(now):
            self.identity, self.identity_at = result.identity, now
        if result.tools is not None:
            self.fingerprints = result.tools
        self.compare(pins)

    def _may_change(self, now: float) -> bool:
        """Whether a new identity may become a new series: one each `tools_interval`, whatever a server says."""
        return self.identity is None or now - self.identity_at >= self.target.tools_interval

    def compare(self, pins: Fingerprints | None) -> None:
        """Compare the tools last listed with the pinned ones and render; tell the log of a new difference."""
        found = None if pins is None or self.fingerprints is None else drift(pins, self.fingerprints)
        if found != self.drift and found is not None and (any(found) or self.drift is not None):
            extra = {"agent": self.target.name, **found._asdict()}
            logger.warning(
                "tools differ from the pinned ones" if any(found) else "tools match the pinned ones", extra=extra
            )
        self.drift = found
        if self.result is not None:
            self._render(self.result)

    def _render(self, result: ProbeResult) -> None:
        own = self._labels
        self.lines = [
            b"mcp_agent_up%b %d\n" % (own, result.outcome.is_healthy),
            b"mcp_agent_probe_duration_seconds%b %.6f\n" % (own, result.duration_seconds),
            b"mcp_agent_last_probe_timestamp_seconds%b %.3f\n" % (own, self.probed_at),
            b"mcp_agent_last_success_timestamp_seconds%b %.3f\n" % (own, self.success_at) if self.success_at else b"",
            self._info_line(result),
            b"" if self.fingerprints is None else b"mcp_agent_tools%b %d\n" % (own, len(self.fingerprints)),
            self._drift_lines(),
        ]

    def _info_line(self, result: ProbeResult) -> bytes:
        if result.identity is None or self.identity is None:
            return b""
        who = self.identity
        said = (who.era, who.protocol_version, who.server_name, who.server_version)
        return sample("mcp_agent_info", (self.target.agent_type, self.target.name, *said), 1).encode()

    def _drift_lines(self) -> bytes:
        if self.drift is None:
            return b""
        changes = zip(ToolChange, (self.drift.added, self.drift.removed, self.drift.changed), strict=True)
        own = (self.target.agent_type, self.target.name)
        return "".join(sample("mcp_agent_tool_drift", (*own, change), len(tools)) for change, tools in changes).encode()


class Fleet:
    """All agents by name, in the order of the targets."""

    def __init__(self, instruments: Instruments, clock: Callable[[], float] = time.time) -> None:
        self.agents: dict[str, Agent] = {}
        self.clock = clock
        self._instruments = instruments
        # Looking a labelled child up costs more than counting on it.
        self._counted = cache(partial(instruments.child, "mcp_agent_probes_total"))
        self._timed = cache(partial(instruments.child, "mcp_agent_probe_latency_seconds"))
        self._types: tuple[str, ...] = ()
        self._pins: Mapping[str, Fingerprints] = {}
        self._exposed: list[Agent] = []
        self._headers = [header(name) for name in FAMILIES]

    def set_types(self, types: tuple[str, ...]) -> None:
        """Set the agent types; their counters stand at 0 from now on."""
        self._types = types
        for agent_type in types:
            self._timed(agent_type)
            for outcome in ProbeOutcome:
                self._counted(agent_type, outcome)

    def set_pins(self, pins: Mapping[str, Fingerprints]) -> None:
        """Set the approved tool definitions by agent."""
        self._pins = pins
        for agent in self.agents.values():
            agent.compare(pins.get(agent.target.name))

    def set_targets(
        self, targets: Iterable[Target], make: Callable[[Target], Agent], limit: int, *, is_fresh: bool = False
    ) -> list[Agent]:
        """Watch exactly these targets; unchanged ones keep what is known. Returns the new agents."""
        before, self.agents = self.agents, {}
        added = []
        for target in targets:
            agent = before.get(target.name)
            if agent is None or agent.target != target or is_fresh:
                agent = make(target)
                added.append(agent)
            self.agents[target.name] = agent
        for agent in before.values():
            agent.is_removed = self.agents.get(agent.target.name) is not agent
        self._expose(limit)
        return added

    def _expose(self, limit: int) -> None:
        everybody = list(self.agents.values())
        self._exposed = everybody[:limit]
        if dropped := len(everybody) - len(self._exposed):
            logger.error("more agents than series are allowed for", extra={"limit": limit, "without_series": dropped})
            for family in FAMILIES:
                self._instruments.child("mcp_series_dropped_total", self._instruments.service, family).inc(dropped)

    def record(self, agent: Agent, result: ProbeResult, exemplar: dict[str, str] | None = None) -> None:
        """Take the result of a probe: snapshot, counters, log of changes. Whatever the result, the round counts."""
        agent_type, last = agent.target.agent_type, agent.result
        try:
            agent.take(result, self.clock(), self._pins.get(agent.target.name))
        except Exception:
            logger.exception("a result cannot be shown", extra={"agent": agent.target.name})
            detail = "the answer cannot be shown; see the exporter's log"
            result = ProbeResult(ProbeOutcome.PROTOCOL_ERROR, result.duration_seconds, detail)
            agent.take(result, self.clock(), None)
        self._counted(agent_type, result.outcome).inc()
        self._timed(agent_type).observe(result.duration_seconds, exemplar)
        if last is None or last.outcome is not result.outcome:
            extra = {"agent": agent.target.name, "outcome": result.outcome, "problem": result.detail}
            level = logging.INFO if result.outcome.is_healthy else logging.WARNING
            logger.log(level, "agent changed state", extra=extra)

    def by_type(self) -> dict[str, list[Agent]]:
        """Return the agents of every configured type, types without agents included."""
        groups: dict[str, list[Agent]] = {agent_type: [] for agent_type in self._types}
        for agent in self.agents.values():
            groups.setdefault(agent.target.agent_type, []).append(agent)
        return groups

    def has_been_probed(self) -> bool:
        """Whether every agent has been looked at."""
        return all(agent.result is not None for agent in self.agents.values())

    def exposition(self) -> bytes:
        """Render every agent's series from the latest results; a stale agent has no `mcp_agent_up`."""
        now, parts = self.clock(), []
        known = [agent for agent in self._exposed if agent.lines]
        current = [agent for agent in known if agent.state(now) is not AgentState.STALE]
        for index, name in enumerate(FAMILIES):
            parts.append(self._headers[index])
            parts += [agent.lines[index] for agent in (current if name == UP else known)]
        return b"".join(parts) + self._totals(now)

    def _totals(self, now: float) -> bytes:
        configured, healthy = [], []
        for agent_type, agents in self.by_type().items():
            up = sum(agent.state(now) in (AgentState.HEALTHY, AgentState.DEGRADED) for agent in agents)
            configured.append(sample("mcp_agents_configured", (agent_type,), len(agents)).encode())
            healthy.append(sample("mcp_agents_healthy", (agent_type,), up).encode())
        return b"".join([header("mcp_agents_configured"), *configured, header("mcp_agents_healthy"), *healthy])
