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


EVERY_LINE = '{service_namespace="mcp-lookout"}'
TROUBLE = '{service_namespace="mcp-lookout", service_name!="audit"} | detected_level=~"warn|error|critical|fatal"'
"""What services say that is not as it should be."""
REFUSED_RECORDS = '{service_name="audit"} | event=~"auth_failure|auth_error"'
"""Audit records of authentications that failed."""


def log_lines(lines: str) -> str:
    """Return the address of these log lines or audit records of the panel's time, in Explore."""
    query = {"refId": "A", "expr": lines}
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


_WORDS: Mapping[str, str] = {
    Colour.GOOD: "ok completed success allow authz_allow hit healthy good reachable accepted exported",
    "super-light-green": "auth_success",
    Colour.NOTICE: "degraded minor max_iterations changed too_large cut expired",
    "dark-yellow": "tool_error unknown_key",
    "semi-dark-yellow": "keys_unavailable",
    "light-yellow": "not_yet_valid",
    "super-light-yellow": "missing_claim",
    Colour.WARNING: "timeout timed_out major warning deny authz_deny added malformed skipped queue_full missed revoked",
    "dark-orange": "http_error no_permission",
    "semi-dark-orange": "insufficient_scope",
    "light-orange": "malformed_header",
    "super-light-orange": "missing_auth_header",
    Colour.BAD: "failed failure auth_failure unhealthy removed errors unauthorized connect_error export_failed "
    "invalid_signature",
    Colour.WORST: "critical error algorithm_not_allowed",
    "semi-dark-red": "origin_not_allowed",
    "light-red": "header_mismatch",
    "super-light-red": "protocol_error locked_out",
    "dark-purple": "invalid_token",
    "semi-dark-purple": "auth_error malformed_request",
    "light-purple": "unmapped_operation",
    "super-light-purple": "tls_error authz_error wrong_issuer",
    "#705da0": "internal_error",
    "#e02f9b": "wrong_audience",
    Colour.NEUTRAL: "info p95 configured now admin miss approval tools proxy decisions",
    Colour.LOW: "p50 target cancelled",
    Colour.HIGH: "p99 rejected",
    "#d683ce": "feedback prompts forward records",
    "#33a2a2": "clarification resources",
    "#a87c5f": "start",
}
"""Words by colour: greens went well, yellows, reds and purples did not, the rest says neither.

Of the many reasons of refusals neighbours in the alphabet differ in hue.
"""
MEANING: Mapping[str, str] = {word: colour for colour, words in _WORDS.items() for word in words.split()}
"""Colours of label values, the same in every panel."""


def two_by_result(first: str, second: str) -> Mapping[str, str]:
    """Return colours that tell the results of two kinds of work apart."""
    shades = {first: (Colour.GOOD, Colour.BAD), second: ("super-light-green", "super-light-red")}
    return {
        f"{kind} {result}": colour
        for kind, pair in shades.items()
        for result, colour in zip(("success", "failure"), pair, strict=True)
    }


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
