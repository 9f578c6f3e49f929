"""Workflows: do runs end well, how long do they take, and what do they wait for."""

from contract.vocabulary import HumanKind, RunOutcome
from dashboards import variables
from dashboards.board import Board, Row
from dashboards.conventions import TROUBLE, Colour, NoData
from dashboards.limits import Limits
from dashboards.panels import About, Empty, Panel, bars, heat, lines, number, stack, timeline
from dashboards.queries import Query, narrowed, occurring, percentile, percentiles, rate

CHOSEN = 'workflow=~"$workflow"'
NO_RUN = "No run has ended within the alert's window."
PERCENTILES = ("p50", "p95", "p99")
RUN_DURATION = "mcp_workflow_run_duration_seconds"
STEP_DURATION = "mcp_workflow_step_duration_seconds"


def board(limits: Limits) -> Board:
    """Return the dashboard of workflows."""
    return Board(
        name="workflows",
        title="Workflows",
        description="Runs by outcome, success against the alert's limit, durations, steps, iterations, queue, people.",
        filters=[variables.workflow()],
        rows=[
            Row(_verdict(limits)),
            Row([success(limits).sized(12), runs().sized(12), run_durations(), run_heat()], "Runs"),
            Row([panel.sized(8, 13) for panel in (step_endings(), step_failures(), step_durations())], "Steps"),
            Row([iterations(), iteration_heat(), phases()], "Iterations and phases"),
            Row([waits(), queue(limits), human_waits()], "Queue and people"),
            Row([sources()], "Sources"),
        ],
        marked='component="workflows"',
    )


def _verdict(limits: Limits) -> list[Panel]:
    return [
        lowest_success(limits),
        in_progress(),
        queued(limits),
        oldest_queued(limits),
        waiting(),
        last_success(limits),
    ]


def lowest_success(limits: Limits) -> Panel:
    """The worst workflow, as the alert sees it."""
    limit = limits.of("workflow_failure", matchers=CHOSEN)
    about = About(
        "Workflow runs OK",
        "Share of ended runs that completed, of the worst workflow, over the window of the alert WorkflowFailure. "
        "Runs that people cancelled or rejected do not count.",
        NO_RUN,
        word="no run yet",
    )
    return number(about, Query(f"min({limit.expr} >= 0)"), unit="percentunit", limit=limit)


def in_progress() -> Panel:
    """How much is under way."""
    about = About("Runs under way", "Runs of the chosen workflows that are under way, in any phase.", NoData.WORKFLOWS)
    return number(about, Query(f"sum(mcp_workflow_runs_in_progress{{{CHOSEN}}})"), unit="none")


def queued(limits: Limits) -> Panel:
    """How much waits to start."""
    about = About(
        "Runs in the queue", "Runs that wait to start, in the longest queue of the chosen workflows.", NoData.WORKFLOWS
    )
    return number(
        about,
        Query(f"max(mcp_workflow_queue_depth{{{CHOSEN}}})"),
        unit="none",
        limit=limits.find("workflow_queue_growing"),
    )


def oldest_queued(limits: Limits) -> Panel:
    """How long the oldest has waited to start."""
    about = About("Oldest in the queue", "How long the oldest run in the queue has waited.", NoData.WORKFLOWS)
    return number(
        about,
        Query(f"max(mcp_workflow_queue_oldest_seconds{{{CHOSEN}}})"),
        unit="s",
        limit=limits.find("workflow_queue_waiting"),
    )


def waiting() -> Panel:
    """How much waits for people."""
    about = About(
        "Waiting for a person", "Runs that wait for an approval, feedback or a clarification.", NoData.WORKFLOWS
    )
    return number(about, Query(f"sum(mcp_workflow_human_pending{{{CHOSEN}}})"), unit="none")


def last_success(limits: Limits) -> Panel:
    """When something last went well."""
    about = About(
        "Since the last success",
        "Time since a run completed, of the chosen workflow that waits longest; never completed ones left out.",
        "No run has completed since the engine started.",
    )
    query = Query(f"time() - min(mcp_workflow_last_success_timestamp_seconds{{{CHOSEN}}} > 0)")
    return number(about, query, unit="s", limit=limits.find("workflow_overdue"))


def success(limits: Limits) -> Panel:
    """Success of each workflow against the alert's limit."""
    limit = limits.of("workflow_failure", matchers=CHOSEN)
    about = About(
        "Workflow success",
        "Share of ended runs that completed, by workflow; dashed: the limit of the alert WorkflowFailure.",
        NO_RUN,
    )
    return lines(about, Query(f"{limit.expr} >= 0", "{{workflow}}"), unit="percentunit", limit=limit, top=1).sized(8)


def runs() -> Panel:
    """How runs end."""
    about = About("Runs by outcome", "Runs that ended, a minute, by how they ended.", NoData.WORKFLOWS)
    query = Query(f"60 * sum by (outcome) ({rate(narrowed('mcp_workflow_runs_total', CHOSEN))})", "{{outcome}}")
    return stack(about, query, unit="opm", legends=tuple(RunOutcome)).sized(8).leading_to(TROUBLE)


def run_durations() -> Panel:
    """How long runs take."""
    about = About("Run duration", "Time that ended runs took: median, 95th and 99th percentile.", NoData.WORKFLOWS)
    return lines(about, *percentiles(RUN_DURATION, CHOSEN), unit="s", legends=PERCENTILES)


def run_heat() -> Panel:
    """How run durations are spread."""
    about = About(
        "Run duration spread", "Ended runs by the time they took: the stronger a cell, the more.", NoData.WORKFLOWS
    )
    return heat(
        about,
        Query(f"60 * sum by (le) ({rate(f'{RUN_DURATION}_bucket{{{CHOSEN}}}')})", "{{le}}"),
        unit="s",
        counted="opm",
    )


def step_endings() -> Panel:
    """How often each step ended."""
    about = About(
        "Endings of steps",
        "How often each step ended in the chosen time range, most frequent first. "
        "A step that is tried again ends again, so this may be more often than runs began.",
        NoData.WORKFLOWS,
    )
    query = Query(
        f"sort_desc(sum by (step) (round(increase({STEP_DURATION}_count{{{CHOSEN}}}[$__range]))))", "{{step}}"
    )
    return bars(about, query, unit="short")


def step_failures() -> Panel:
    """Which steps fail."""
    about = About(
        "Failed steps",
        "Steps that failed, a minute, by step; steps without a failure are left out.",
        "No step failed in this time.",
        Empty.WHEN_HEALTHY,
    )
    failures = f"60 * {occurring(narrowed('mcp_workflow_step_failures_total', CHOSEN), 'step')}"
    return stack(about, Query(failures, "{{step}}"), unit="opm", are_bad=True)


def step_durations() -> Panel:
    """Which steps take long."""
    about = About("Step duration, p95", "Time under which 95 % of the endings of a step stay.", NoData.WORKFLOWS)
    return lines(about, Query(percentile(0.95, STEP_DURATION, CHOSEN, ["step"]), "{{step}}"), unit="s")


def iterations() -> Panel:
    """How many rounds runs need."""
    about = About(
        "Iterations per run", "Rounds of revision that ended runs needed: median and 95th percentile.", NoData.WORKFLOWS
    )
    queries = percentiles("mcp_workflow_iterations", CHOSEN)[:2]
    return lines(about, *queries, unit="none", legends=PERCENTILES).sized(8)


def iteration_heat() -> Panel:
    """How iterations are spread."""
    about = About(
        "Iterations spread", "Ended runs by the rounds they needed: the stronger a cell, the more.", NoData.WORKFLOWS
    )
    query = Query(f"60 * sum by (le) ({rate(f'mcp_workflow_iterations_bucket{{{CHOSEN}}}')})", "{{le}}")
    return heat(about, query, unit="none", counted="opm").sized(8)


def phases() -> Panel:
    """Where runs are."""
    about = About("Runs by phase", "Runs under way, by the phase they are in.", NoData.WORKFLOWS)
    query = Query(f"sum by (phase) (mcp_workflow_runs_in_progress{{{CHOSEN}}})", "{{phase}}")
    return stack(about, query, unit="none").sized(8)


def waits() -> Panel:
    """What waits."""
    about = About(
        "Runs that wait", "Runs that wait to start, and runs that wait for a person, by what for.", NoData.WORKFLOWS
    )
    queries = [
        Query(f"sum(mcp_workflow_queue_depth{{{CHOSEN}}})", "to start"),
        Query(f"sum by (kind) (mcp_workflow_human_pending{{{CHOSEN}}})", "for {{kind}}"),
    ]
    words = ("start", *HumanKind)
    return lines(about, *queries, unit="none", legends=words).sized(8)


def queue(limits: Limits) -> Panel:
    """How the queue moves."""
    about = About("Longest wait to start", "How long the oldest run in each queue has waited.", NoData.WORKFLOWS)
    query = Query(f"max by (workflow) (mcp_workflow_queue_oldest_seconds{{{CHOSEN}}})", "{{workflow}}")
    return lines(about, query, unit="s", limit=limits.find("workflow_queue_waiting")).sized(8)


def human_waits() -> Panel:
    """How long people let runs wait."""
    about = About(
        "Longest wait for people", "How long the oldest run has waited for a person, by what for.", NoData.WORKFLOWS
    )
    query = Query(f"max by (kind) (mcp_workflow_human_oldest_wait_seconds{{{CHOSEN}}})", "{{kind}}")
    return lines(about, query, unit="s", legends=tuple(HumanKind)).sized(8)


def sources() -> Panel:
    """Whether the engines can be asked."""
    about = About(
        "Workflow sources",
        "Whether each engine's statistics could be read. While not, the panels above show its last reading.",
        NoData.WORKFLOWS,
    )
    texts = {"1": ("reachable", Colour.GOOD), "0": ("unreachable", Colour.BAD)}
    return timeline(about, Query("min by (source) (mcp_workflow_source_up)", "{{source}}"), texts).sized(24, 5)
