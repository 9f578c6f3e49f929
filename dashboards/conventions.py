"""What every dashboard shares: data source, tag, the meaning of colours, and why a panel may be empty."""

import json
from collections.abc import Mapping
from enum import StrEnum
from urllib.parse import quote

from grafana_foundation_sdk.models.dashboard import DataSourceRef

from contract.vocabulary import AGENT_TYPES

DATASOURCE_UID = "prometheus"
FOLDER = "MCP Lookout"
TAG = "mcp-lookout"
UID_PREFIX = "mcp-lookout-"
GRID_WIDTH = 24


def link(board: str, variable: str) -> str:
    """Return the address of another dashboard in which a variable has the clicked value and the time stays."""
    return f"/d/{UID_PREFIX}{board}?var-{variable}=${{__value.raw:percentencode}}&${{__url_time_range}}"


def log_lines() -> str:
    """Return the address of all log lines and audit records of the panel's time, in Explore."""
    query = {"refId": "A", "expr": '{service_namespace="mcp-lookout"}'}
    panes = {"lines": {"datasource": "loki", "queries": [query], "range": {"from": "${__from}", "to": "${__to}"}}}
    encoded = quote(json.dumps(panes, separators=(",", ":")), safe="")
    for variable in ("${__from}", "${__to}"):
        encoded = encoded.replace(quote(variable, safe=""), variable)
    return f"/explore?schemaVersion=1&panes={encoded}"


def datasource() -> DataSourceRef:
    """Return the data source that the dashboard's variable names."""
    return DataSourceRef(type_val="prometheus", uid="${datasource}")


class Colour(StrEnum):
    """Colours by what they say, never by what looks well; grey has no name in Grafana."""

    GOOD = "green"
    NOTICE = "yellow"
    WARNING = "orange"
    BAD = "red"
    WORST = "dark-red"
    UNKNOWN = "#7b8087"
    NEUTRAL = "blue"
    LOW = "light-blue"
    HIGH = "dark-blue"


MEANING: Mapping[str, Colour] = {
    **dict.fromkeys(
        ("ok", "completed", "success", "allow", "hit", "healthy", "good", "reachable", "accepted"), Colour.GOOD
    ),
    **dict.fromkeys(("degraded", "minor", "cancelled", "miss", "max_iterations", "changed"), Colour.NOTICE),
    **dict.fromkeys(
        (
            "timeout",
            "timed_out",
            "major",
            "rejected",
            "warning",
            "deny",
            "added",
            "unauthorized",
            "malformed",
            "too_large",
        ),
        Colour.WARNING,
    ),
    **dict.fromkeys(("failed", "failure", "unhealthy", "removed", "errors"), Colour.BAD),
    **dict.fromkeys(("critical", "error", "auth_error", "authz_error"), Colour.WORST),
    **dict.fromkeys(("connect_error", "http_error", "protocol_error", "tls_error", "tool_error"), Colour.BAD),
    **dict.fromkeys(("info", "p95", "configured", "now"), Colour.NEUTRAL),
    **dict.fromkeys(("p50", "target"), Colour.LOW),
    **dict.fromkeys(("p99",), Colour.HIGH),
}
"""Label values that wear the same colour in every panel."""


TYPES: Mapping[str, str] = dict(
    zip(AGENT_TYPES, ("blue", "purple", "#33a2a2", "#d683ce", "#a87c5f", "#8ad4eb"), strict=True)
)
"""Colours of the agent types: told apart, and none that means good or bad."""


class NoData(StrEnum):
    """Why a panel is empty, and where to look."""

    EXPORTER = "Nothing from the exporter yet. After two minutes: is its target up, and are agents configured?"
    WORKFLOWS = "Nothing of workflows yet. After two minutes: is a workflow source configured and reachable?"
    SIDECAR = "Nothing from the auth sidecar yet. After two minutes: is its target up, and has it seen requests?"
    NODE = "Nothing from node_exporter yet. After two minutes: is its target up in Prometheus?"
    PROMETHEUS = "Nothing of Prometheus itself yet. After two minutes: is the job prometheus scraped?"
    ALERTMANAGER = "Nothing from Alertmanager yet. After two minutes: is its target up in Prometheus?"
    RULES = "The Watchdog does not fire: Prometheus evaluates no rules (yet), so silence means nothing."
