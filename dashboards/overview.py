"""Fleet overview: is everything fine, and if not, what is it, since when, and who is told."""

from dashboards import agents, alerts, infrastructure, operations, security, variables, workflows
from dashboards.board import Board, Row
from dashboards.conventions import Colour, NoData
from dashboards.fields import Step
from dashboards.limits import Limits
from dashboards.panels import About, Panel, bars, number
from dashboards.queries import Query

SCORE_STEPS: list[Step] = [(50.0, Colour.WARNING), (90.0, Colour.GOOD)]
"""From where on the exporter calls the system degraded and healthy; below that it is unhealthy."""


def board(limits: Limits) -> Board:
    """Return the overview: the answer above the fold, a row for each domain below."""
    verdict = [
        health_score(),
        alerts.firing_count(),
        agents.unhealthy_count(),
        workflows.lowest_success(limits),
        operations.highest_errors(limits),
        security.failures(limits),
    ]
    return Board(
        name="overview",
        title="Fleet overview",
        description="Is everything fine? If not: which agent or workflow, since when, and who is told.",
        filters=[variables.agent_type(), variables.workflow()],
        rows=[
            Row([*verdict, alerts.firing_list(limits)]),
            Row([health_parts(), agents.healthy_by_type(), agents.unhealthy_agents().sized(8)], "Parts and agents"),
            Row([agents.agent_states(), agents.probe_latency(), agents.probe_outcomes()], "Probes"),
            Row([workflows.success(limits), workflows.runs(), workflows.waits()], "Workflows"),
            Row([security.by_reason(), security.denials(), security.decision_latency()], "Security"),
            Row([operations.rate_by_type(), operations.errors(limits), operations.overall_latency()], "MCP operations"),
            Row(_below(limits), "Infrastructure and notifications"),
        ],
        marked='severity="critical"',
    )


def _below(limits: Limits) -> list[Panel]:
    return [
        infrastructure.processor(limits),
        infrastructure.memory(limits),
        alerts.notifications().sized(8),
    ]


def health_score() -> Panel:
    """The whole system in one number."""
    about = About(
        "Health, 0 to 100",
        "Health of the whole system from 0 to 100, computed by the exporter from its four parts.",
        NoData.EXPORTER,
    )
    query = Query("min(mcp_system_health_score)")
    return number(about, query, unit="none", steps=SCORE_STEPS, base=Colour.BAD, decimals=0)


def health_parts() -> Panel:
    """The parts of the score."""
    about = About(
        "Health by part",
        "Health of agents, workflows, infrastructure and security, each from 0 to 100. An unknown part has no bar.",
        NoData.EXPORTER,
    )
    query = Query("min by (component) (mcp_component_health_score)", "{{component}}")
    return bars(about, query, unit="none", top=100, steps=SCORE_STEPS, base=Colour.BAD, decimals=0)
