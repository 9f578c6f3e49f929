"""PromQL that several panels share, as named values and small functions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

AGENTS = 'agent_type=~"$agent_type"'
ONE_AGENT = 'agent_type=~"$agent_type", agent=~"$agent"'
OTHER_AGENTS = 'agent_type=~"$agent_type", agent!~"$agent"'
FIRING = 'ALERTS{alertstate="firing", alertname!="Watchdog"}'
HEARTBEAT = 'ALERTS{alertname="Watchdog", alertstate="firing"}'
OVERLAP = "Each bar counts the last minute or more, so bars close together count the same one again."
"""Told where bars are an increase over $__rate_interval, which is never shorter than four scrapes."""
RULES_ARE_EVALUATED = f"on () {HEARTBEAT}"
TRACED = frozenset({
    "mcp_server_operation_duration_seconds", "mcp_auth_decision_duration_seconds", "mcp_agent_probe_latency_seconds",
})  # fmt: skip
"""Histograms with exemplars where tracing is on; of several queries about one, the last asks for them."""
SUBJECTS = ("component", "job", "instance", "service", "rule_group", "integration", "agent_type", "workflow", "agent")
"""Labels that say what an alert is about, the most telling last."""


@dataclass(frozen=True)
class Query:
    """One PromQL expression and how its series are called."""

    expr: str
    legend: str = "__auto"
    has_exemplars: bool = False
    """Whether dots in the panel lead to traces."""


def rate(selector: str) -> str:
    """Return the rate of a counter over the panel's own interval."""
    return f"rate({selector}[$__rate_interval])"


def occurring(counter: str, *by: str) -> str:
    """Return the rate of a counter by labels, of those under which it counted anything in the chosen time.

    To the end of that time: the legend of what is over would else end in its last value, as if it went on.
    """
    labels = ", ".join(by)
    counted = f"sum by ({labels}) (increase({counter}[$__range] @ end())) > 0"
    return f"sum by ({labels}) ({rate(counter)}) and on ({labels}) ({counted})"


def share(part: str, whole: str, by: Sequence[str] = ()) -> str:
    """Return the part of a whole, both rates of counters; nothing where there was nothing."""
    group = f" by ({', '.join(by)})" if by else ""
    return f"sum{group} ({rate(part)}) / (sum{group} ({rate(whole)}) > 0)"


def percentile(quantile: float, histogram: str, matchers: str = "", by: Sequence[str] = ()) -> str:
    """Return a percentile over all series of a histogram; percentiles are never averaged.

    Where nothing was counted there is nothing: Grafana would write into a legend why the panel could be empty.
    """
    labels = ", ".join(("le", *by))
    return f"histogram_quantile({quantile}, sum by ({labels}) ({rate(f'{histogram}_bucket{{{matchers}}}')})) >= 0"


def percentiles(histogram: str, matchers: str = "") -> list[Query]:
    """Return median, 95th and 99th percentile; dots lead to traces where the histogram has exemplars."""
    return [
        Query(percentile(number / 100, histogram, matchers), f"p{number}", number == 99 and histogram in TRACED)
        for number in (50, 95, 99)
    ]


def first_label(expr: str, target: str, labels: Iterable[str]) -> str:
    """Return the expression with a label that takes the value of the last of the labels that is there."""
    for label in labels:
        expr = f'label_replace({expr}, "{target}", "$1", "{label}", "(.+)")'
    return expr


def narrowed(selector: str, matchers: str) -> str:
    """Return the selector with further matchers, where there are any."""
    if not matchers:
        return selector
    name, _, rest = selector.partition("{")
    own = rest.removesuffix("}")
    return f"{name}{{{', '.join(part for part in (own, matchers) if part)}}}"
