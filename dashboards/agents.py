"""Agents: by type and instance, their states, latencies, versions, eras and tools."""

from contract.vocabulary import ProbeOutcome
from dashboards import variables
from dashboards.board import Board, Row
from dashboards.conventions import TROUBLE, Colour, NoData, link
from dashboards.fields import Column
from dashboards.limits import Limits
from dashboards.panels import About, Empty, Panel, bars, heat, lines, number, rows, stack, timeline
from dashboards.queries import AGENTS, ONE_AGENT, OTHER_AGENTS, Query, occurring, percentiles, rate

SHOWN = 60
"""Lanes that a timeline can show; more agents than that are cut, the worst stay."""
LATENCY = "mcp_agent_probe_latency_seconds"
PERCENTILES = ("p50", "p95", "p99")


def board(limits: Limits) -> Board:
    """Return the dashboard of agents."""
    return Board(
        name="agents",
        title="Agents",
        description="Each agent: is it up, how fast, which version, which tools, healthy since when.",
        filters=[variables.agent_type(), variables.agent()],
        rows=[
            Row([configured(), unhealthy_count(ONE_AGENT), outages(), stale(limits), versions(), drift_count(limits)]),
            Row([states()], "State"),
            Row([unhealthy_agents(ONE_AGENT), healthy_by_type(ONE_AGENT)], "What is down"),
            Row([latency_heat(), probe_latency().sized(12), slowest(limits), probe_outcomes().sized(12)], "Probes"),
            Row([inventory(), drift(), eras()], "Versions and tools"),
        ],
        marked='component="agents"',
    )


def configured() -> Panel:
    """How many agents there are."""
    about = About("Agents configured", "Chosen agents that the exporter is told to probe.", NoData.EXPORTER)
    return number(about, Query(_count("configured", ONE_AGENT)), unit="none")


def _count(state: str, chosen: str, by: str = "") -> str:
    """Return how many agents are configured or healthy; those of a type are counted, so others of it are taken off."""
    of_types = f"sum{by} (mcp_agents_{state}{{{AGENTS}}})"
    if chosen == AGENTS:
        return of_types
    others = {
        "configured": f"count{by} (mcp_agent_last_probe_timestamp_seconds{{{OTHER_AGENTS}}})",
        "healthy": f"sum{by} (mcp_agent_up{{{OTHER_AGENTS}}})",
    }
    return f"({of_types} - ({others[state]} or 0 * {of_types}))"


def unhealthy_count(chosen: str = AGENTS) -> Panel:
    """How many of the agents chosen by type, or one by one, are not healthy."""
    about = About(
        "Unhealthy agents",
        "Configured agents whose last probe was not healthy, agents never reached included.",
        NoData.EXPORTER,
    )
    query = Query(f"{_count('configured', chosen)} - {_count('healthy', chosen)}")
    return number(about, query, unit="none", steps=[(1, Colour.BAD)])


def outages() -> Panel:
    """How much of the time agents were up."""
    about = About(
        "Up, in this range",
        "Share of the chosen time range in which the chosen agents were up, averaged over agents.",
        NoData.EXPORTER,
    )
    return number(about, Query(f"avg(avg_over_time(mcp_agent_up{{{ONE_AGENT}}}[$__range]))"), unit="percentunit")


def stale(limits: Limits) -> Panel:
    """How old the oldest knowledge is."""
    about = About(
        "Age of oldest probe",
        "Time since the agent that was probed longest ago was probed. Old knowledge is neither healthy nor unhealthy.",
        NoData.EXPORTER,
    )
    query = Query(f"time() - min(mcp_agent_last_probe_timestamp_seconds{{{ONE_AGENT}}})")
    return number(about, query, unit="s", limit=limits.find("agent_stale"))


def versions() -> Panel:
    """How many versions of servers are in use."""
    about = About("Server versions", "Different versions that the chosen agents report.", NoData.EXPORTER)
    query = Query(f"count(count by (server_version) (mcp_agent_info{{{ONE_AGENT}}}))")
    return number(about, query, unit="none")


def drift_count(limits: Limits) -> Panel:
    """How many tools are not what was pinned."""
    about = About(
        "Tools that drifted",
        "Tools whose definition differs from the pinned one: added, removed or changed. Empty where nothing is pinned.",
        "No tool definitions are pinned: pinned_tools in the exporter's configuration starts the watch.",
        Empty.WHEN_UNUSED,
    )
    query = Query(f"sum(mcp_agent_tool_drift{{{ONE_AGENT}}})")
    return number(about, query, unit="none", limit=limits.find("agent_tool_drift"))


def states() -> Panel:
    """When each agent was up."""
    about = About(
        "Agent states",
        f"Each agent over time: green is up, red is down, gaps are unknown. Of many, the {SHOWN} that were down most.",
        NoData.EXPORTER,
    )
    up = f"mcp_agent_up{{{ONE_AGENT}}}"
    worst = f"topk({SHOWN}, 1 - avg_over_time({up}[$__range] @ end()))"
    query = Query(f"max by (agent_type, agent) ({up} and on (agent_type, agent) {worst})", "{{agent}}")
    return timeline(about, query, {"1": ("up", Colour.GOOD), "0": ("down", Colour.BAD)}).leading_to(TROUBLE)


def unhealthy_agents(chosen: str = AGENTS) -> Panel:
    """Which agents are not healthy, and since when."""
    about = About(
        "Agents not healthy",
        "Agents whose last probe was not healthy, and when they were healthy last; never: not since its start.",
        "Every agent is healthy.",
        Empty.WHEN_HEALTHY,
    )
    down = f"mcp_agent_up{{{chosen}}} == 0"
    seen = f"mcp_agent_last_success_timestamp_seconds and on (agent_type, agent) ({down})"
    query = Query(f"1000 * max by (agent_type, agent) (({seen}) or ({down}))")
    columns = [
        Column("agent", "Agent", link=link("agents", "agent")),
        Column("Value", "Healthy last", unit="dateTimeFromNow", texts={"0": "never"}, width=148),
        Column("agent_type", "Type"),
    ]
    return rows(about, columns, query).sized(16, 9)


def healthy_by_type(chosen: str = AGENTS) -> Panel:
    """How much of each agent type is healthy."""
    about = About(
        "Healthy agents by type",
        "Share of the chosen agents of a type whose last probe was healthy.",
        NoData.EXPORTER,
    )
    healthy, all_agents = (_count(state, chosen, " by (agent_type)") for state in ("healthy", "configured"))
    steps = [(0.5, Colour.WARNING), (1.0, Colour.GOOD)]
    query = Query(f"{healthy} / ({all_agents} > 0)", "{{agent_type}}")
    return bars(about, query, unit="percentunit", top=1, steps=steps, base=Colour.BAD)


def agent_states() -> Panel:
    """How many agents were healthy when."""
    about = About("Agents by state", "Agents that are healthy, and configured agents that are not.", NoData.EXPORTER)
    healthy = f"sum(mcp_agents_healthy{{{AGENTS}}})"
    queries = [Query(healthy, "healthy"), Query(f"sum(mcp_agents_configured{{{AGENTS}}}) - {healthy}", "unhealthy")]
    return stack(about, *queries, unit="none", legends=("healthy", "unhealthy")).sized(8)


def latency_heat() -> Panel:
    """How probe latencies are spread."""
    about = About(
        "Probe latency spread", "Probes by the time they took: the stronger a cell, the more of them.", NoData.EXPORTER
    )
    return heat(
        about, Query(f"sum by (le) ({rate(f'{LATENCY}_bucket{{{AGENTS}}}')})", "{{le}}"), unit="s", counted="ops"
    )


def probe_latency() -> Panel:
    """How long probes take."""
    about = About(
        "Probe latency",
        "Time that probes of the chosen agent types take: median, 95th and 99th percentile.",
        NoData.EXPORTER,
    )
    return lines(about, *percentiles(LATENCY, AGENTS), unit="s", legends=PERCENTILES).sized(8)


def slowest(limits: Limits) -> Panel:
    """Which agents answer slowest."""
    about = About("Slowest agents now", "The five chosen agents whose last probe took longest.", NoData.EXPORTER)
    query = Query(f"topk(5, max by (agent) (mcp_agent_probe_duration_seconds{{{ONE_AGENT}}}))", "{{agent}}")
    return bars(about, query, unit="s", limit=limits.find("agent_slow")).sized(12)


def probe_outcomes() -> Panel:
    """How probes end."""
    about = About(
        "Probes by outcome", "Probes a second by how they ended; ok and degraded count as healthy.", NoData.EXPORTER
    )
    query = Query(occurring(f"mcp_agent_probes_total{{{AGENTS}}}", "outcome"), "{{outcome}}")
    return stack(about, query, unit="ops", legends=tuple(ProbeOutcome)).sized(8).leading_to(TROUBLE)


def inventory() -> Panel:
    """What each agent is."""
    about = About(
        "Agents and what they run",
        "What each agent says it is, its tools, how long its last probe took and when it was healthy last.",
        NoData.EXPORTER,
    )
    per_agent = "max by (agent_type, agent)"
    said = "agent_type, agent, era, protocol_version, server_name, server_version"
    queries = [
        Query(f"max by ({said}) (mcp_agent_info{{{ONE_AGENT}}})"),
        Query(f"{per_agent} (mcp_agent_tools{{{ONE_AGENT}}})"),
        Query(f"{per_agent} (mcp_agent_probe_duration_seconds{{{ONE_AGENT}}})"),
        Query(f"1000 * {per_agent} (mcp_agent_last_success_timestamp_seconds{{{ONE_AGENT}}})"),
    ]
    columns = [
        Column("agent", "Agent", width=150),
        Column("agent_type", "Type", width=120),
        Column("server_version", "Version", width=80),
        Column("Value #B", "Tools", width=60),
        Column("Value #C", "Last probe", unit="s", width=90),
        Column("Value #D", "Healthy last", unit="dateTimeFromNow", texts={"0": "never"}, width=150),
        Column("server_name", "Server"),
        Column("era", "Era"),
        Column("protocol_version", "Protocol"),
    ]
    return rows(about, columns, *queries, hidden=("Value #A",)).sized(24, 10)


def drift() -> Panel:
    """Whose tools are not what was pinned."""
    about = About(
        "Tool drift by agent",
        "Agents with tools whose definition differs from the pinned one, and how.",
        "Every tool is as pinned, or nothing is pinned.",
        Empty.WHEN_HEALTHY,
    )
    query = Query(f"max by (agent_type, agent, change) (mcp_agent_tool_drift{{{ONE_AGENT}}}) > 0")
    columns = [
        Column("agent", "Agent"),
        Column("change", "Change"),
        Column("Value", "Tools"),
        Column("agent_type", "Type"),
    ]
    return rows(about, columns, query).sized(12, 9)


def eras() -> Panel:
    """Which protocol eras are in use."""
    about = About(
        "Agents by protocol",
        "Agents by era and protocol version: modern is stateless, legacy begins with initialize, none is plain HTTP.",
        NoData.EXPORTER,
    )
    query = Query(f"count by (era, protocol_version) (mcp_agent_info{{{ONE_AGENT}}})", "{{era}} {{protocol_version}}")
    return stack(about, query, unit="none")
