"""MCP operations: rate, errors and duration by method and tool, from the sidecar or any server with the same metric."""

from dashboards import variables
from dashboards.board import Board, Row
from dashboards.conventions import TROUBLE, TYPES, NoData, link
from dashboards.fields import Column
from dashboards.limits import Limits
from dashboards.panels import About, Empty, Panel, heat, lines, number, rows, stack
from dashboards.queries import Query, narrowed, occurring, percentile, percentiles, rate, share

DURATION = "mcp_server_operation_duration_seconds"
COUNT = f"{DURATION}_count"
CHOSEN = 'agent_type=~"$agent_type", mcp_method_name=~"$method", gen_ai_tool_name=~"$tool"'
TOOL_CALLS = f'{CHOSEN}, gen_ai_tool_name!=""'
FAILED = 'error_type!=""'
TOOL_ERROR = 'error_type="tool_error"'
OF_TYPES = 'agent_type=~"$agent_type"'
PERCENTILES = ("p50", "p95", "p99")
NO_ERROR = "No operation failed in this time."
BY_TOOL = ["gen_ai_tool_name"]


def board(limits: Limits) -> Board:
    """Return the dashboard of MCP operations."""
    return Board(
        name="operations",
        title="MCP operations",
        description="Rate, errors and duration of MCP requests by method and tool. "
        "Works unchanged on servers that emit the OpenTelemetry metric themselves.",
        filters=[variables.agent_type(), variables.method(), variables.tool()],
        rows=[
            Row([total_rate(), highest_errors(limits), failing(), p95(limits), tool_rate(), tool_errors()]),
            Row([by_method(), errors_by_type(), latency().sized(12), latency_heat()], "Requests"),
            Row([by_tool(), tool_error_share(limits), tool_latency(), slowest_tools()], "Tools"),
            Row([rate_by_type().sized(8), errors(limits), protocols()], "Agent types and protocols"),
        ],
        marked='component="agents"',
    )


def total_rate() -> Panel:
    """How much is going on."""
    about = About("Requests", "MCP requests of the chosen kind, a second.", NoData.SIDECAR)
    return number(about, Query(f"sum({rate(narrowed(COUNT, CHOSEN))})"), unit="reqps")


def highest_errors(limits: Limits) -> Panel:
    """The worst agent type, as the alert sees it."""
    limit = limits.of("high_error_rate", matchers=OF_TYPES)
    about = About(
        "Request error rate",
        "Share of MCP operations that failed, of the worst agent type, over the window of the alert HighErrorRate. "
        "Faults of the caller do not count.",
        NoData.SIDECAR,
    )
    query = Query(f"max({limit.expr} >= 0) or 0 * sum({rate(narrowed(COUNT, OF_TYPES))})")
    return number(about, query, unit="percentunit", limit=limit)


def failing() -> Panel:
    """How much of the chosen fails, callers' faults included."""
    about = About(
        "Failed requests",
        "Requests of the chosen kind that ended in an error, faults of callers included.",
        NoData.SIDECAR,
    )
    failed = f"sum({rate(narrowed(COUNT, f'{CHOSEN}, {FAILED}'))})"
    return number(about, Query(f"{failed} or 0 * sum({rate(narrowed(COUNT, CHOSEN))})"), unit="reqps")


def p95(limits: Limits) -> Panel:
    """How long it takes."""
    about = About("Request duration, p95", "Time under which 95 % of the chosen requests stay.", NoData.SIDECAR)
    return number(about, Query(percentile(0.95, DURATION, CHOSEN)), unit="s", limit=limits.find("operation_slow"))


def tool_rate() -> Panel:
    """How many tools are called."""
    about = About("Tool calls", "Calls of the chosen tools, a second.", "No tool was called in this time.")
    return number(about, Query(f"sum({rate(narrowed(COUNT, TOOL_CALLS))})"), unit="reqps")


def tool_errors() -> Panel:
    """How many tool calls answer with an error of the tool."""
    about = About(
        "Failed tool calls",
        "Calls that the server answered with isError: the protocol worked, the tool did not.",
        "No tool was called in this time.",
    )
    errors = f"sum({rate(narrowed(COUNT, f'{TOOL_CALLS}, {TOOL_ERROR}'))})"
    return number(about, Query(f"{errors} or 0 * sum({rate(narrowed(COUNT, TOOL_CALLS))})"), unit="reqps")


def by_method() -> Panel:
    """What is asked."""
    about = About("Requests by method", "MCP requests of the chosen kind, a second, by method.", NoData.SIDECAR)
    query = Query(f"sum by (mcp_method_name) ({rate(narrowed(COUNT, CHOSEN))})", "{{mcp_method_name}}")
    return stack(about, query, unit="reqps")


def errors_by_type() -> Panel:
    """How it fails."""
    about = About(
        "Errors by type",
        "Failed requests a second by type: tool_error is an answer with isError, negative numbers are JSON-RPC error "
        "codes, others HTTP statuses.",
        NO_ERROR,
        Empty.WHEN_HEALTHY,
    )
    errors = Query(occurring(narrowed(COUNT, f"{CHOSEN}, {FAILED}"), "error_type"), "{{error_type}}")
    return stack(about, errors, unit="reqps", legends=("tool_error", "timeout"), are_bad=True).leading_to(TROUBLE)


def latency() -> Panel:
    """How long requests take."""
    about = About(
        "Request duration",
        "Time from request received to result sent: median, 95th and 99th percentile.",
        NoData.SIDECAR,
    )
    return lines(about, *percentiles(DURATION, CHOSEN), unit="s", legends=PERCENTILES).sized(8)


def overall_latency() -> Panel:
    """How long requests take, of the chosen agent types."""
    about = About(
        "Request duration",
        "Time from request received to result sent: median, 95th and 99th percentile.",
        NoData.SIDECAR,
    )
    queries = percentiles(DURATION, OF_TYPES)
    return lines(about, *queries, unit="s", legends=PERCENTILES).sized(8)


def latency_heat() -> Panel:
    """How durations are spread."""
    about = About(
        "Request duration spread", "Requests by the time they took: the stronger a cell, the more.", NoData.SIDECAR
    )
    return heat(
        about,
        Query(f"sum by (le) ({rate(narrowed(f'{DURATION}_bucket', CHOSEN))})", "{{le}}"),
        unit="s",
        counted="reqps",
    )


def by_tool() -> Panel:
    """Which tools are called."""
    about = About("Calls by tool", "Calls of each chosen tool, a second.", "No tool was called in this time.")
    query = Query(occurring(narrowed(COUNT, TOOL_CALLS), *BY_TOOL), "{{gen_ai_tool_name}}")
    return stack(about, query, unit="reqps").sized(8)


def tool_error_share(limits: Limits) -> Panel:
    """Which tools fail."""
    about = About(
        "Error rate by tool",
        "Share of the calls of a tool that failed in any way; tools without a failure are left out.",
        NO_ERROR,
        Empty.WHEN_HEALTHY,
    )
    part = narrowed(COUNT, f"{TOOL_CALLS}, {FAILED}")
    failed = f"{share(part, narrowed(COUNT, TOOL_CALLS), BY_TOOL)} and on ({BY_TOOL[0]}) ({occurring(part, *BY_TOOL)})"
    return lines(
        about,
        Query(failed, "{{gen_ai_tool_name}}"),
        unit="percentunit",
        top=1,
        are_bad=True,
        limit=limits.find("tool_error_rate"),
    ).sized(8)


def tool_latency() -> Panel:
    """Which tools are slow."""
    about = About(
        "Duration by tool, p95",
        "Time under which 95 % of the calls of a tool stay.",
        "No tool was called in this time.",
    )
    query = Query(percentile(0.95, DURATION, TOOL_CALLS, BY_TOOL), "{{gen_ai_tool_name}}")
    return lines(about, query, unit="s").sized(8)


def slowest_tools() -> Panel:
    """Tools from slow to fast."""
    about = About(
        "Slowest tools",
        "Tools by the 95th percentile of their duration over the chosen time range, with their calls and failed calls. "
        "Interpolated within a bucket of the histogram, one of which is from 200 to 500 ms.",
        "No tool was called in this time.",
    )
    buckets = (
        f"sum by (le, agent_type, gen_ai_tool_name) (increase({narrowed(f'{DURATION}_bucket', TOOL_CALLS)}[$__range]))"
    )
    calls, failed = (
        f"sum by (agent_type, gen_ai_tool_name) (round(increase({narrowed(COUNT, matchers)}[$__range])))"
        for matchers in (TOOL_CALLS, f"{TOOL_CALLS}, {FAILED}")
    )
    queries = [Query(f"topk(20, histogram_quantile(0.95, {buckets}))"), Query(calls), Query(f"{failed} or 0 * {calls}")]
    columns = [
        Column("agent_type", "Agent type"),
        Column("gen_ai_tool_name", "Tool", link=link("operations", "tool")),
        Column("Value #A", "p95", unit="s"),
        Column("Value #B", "Calls"),
        Column("Value #C", "Failed"),
    ]
    return rows(about, columns, *queries, sort_by="p95").sized(24, 9)


def rate_by_type() -> Panel:
    """How much is going on, by agent type."""
    about = About("Requests by agent type", "MCP requests that reached agents of a type, a second.", NoData.SIDECAR)
    query = Query(f"sum by (agent_type) ({rate(narrowed(COUNT, OF_TYPES))})", "{{agent_type}}")
    return stack(about, query, unit="reqps", legends=tuple(TYPES)).sized(8)


def errors(limits: Limits) -> Panel:
    """How much fails, by agent type, against the alert's limit."""
    limit = limits.of("high_error_rate", matchers=OF_TYPES)
    about = About(
        "Error rate by agent type",
        "Share of MCP operations that ended in an error of the agent; dashed: the limit of the alert HighErrorRate.",
        NoData.SIDECAR,
    )
    none = f"0 * sum by (agent_type) ({rate(narrowed(COUNT, OF_TYPES))})"
    query = Query(f"({limit.expr} >= 0) or {none}", "{{agent_type}}")
    return lines(about, query, unit="percentunit", limit=limit, legends=tuple(TYPES)).sized(8)


def protocols() -> Panel:
    """Which protocol versions clients speak."""
    about = About(
        "Requests by protocol",
        "MCP requests of the chosen kind, a second, by protocol version.",
        NoData.SIDECAR,
    )
    query = Query(f"sum by (mcp_protocol_version) ({rate(narrowed(COUNT, CHOSEN))})", "{{mcp_protocol_version}}")
    return stack(about, query, unit="reqps").sized(8)
