"""No panel may ask for a metric, a label or a label value that nobody emits."""

import re

import promql_parser
import pytest

from contract.metric import Kind, Metric
from contract.metrics import CATALOGUE
from dashboards.__main__ import OBJECTIVES
from rules import slos
from tests.dashboards.foreign import FOREIGN, SCRAPED
from tests.dashboards.reading import NAMES, Selector, board, filled, groupings, panels, selectors, targets

RECORDED = {
    rule["record"]: tuple(rule.get("labels", ()))
    for group in slos.groups(slos.read(OBJECTIVES))
    for rule in group["rules"]
}
UNFILTERED = {
    "infrastructure": {
        "services have addresses of their own, which are none of a node_exporter": {
            ("instance", "Processor by service"),
            ("instance", "Memory by service"),
            ("instance", "Open files by service"),
        },
    },
    "operations": {
        "shows what the alert HighErrorRate judges, which knows no methods and tools": {
            ("method", "Request error rate"),
            ("tool", "Request error rate"),
            ("method", "Error rate by agent type"),
            ("tool", "Error rate by agent type"),
        },
        "is the whole of which the error rate beside it is a part": {
            ("method", "Requests by agent type"),
            ("tool", "Requests by agent type"),
        },
    },
    "overview": {
        "alerts on security and hosts have no such label, and a filter must not hide them": {
            ("agent_type", "Alerts that fire"),
            ("workflow", "Alerts that fire"),
            ("agent_type", "What fires, since when, and who is told"),
            ("workflow", "What fires, since when, and who is told"),
        },
    },
}
"""Filters of a board that do not narrow a panel, by the reason."""
HISTOGRAM_PARTS = ("_bucket", "_count", "_sum")


def expressions(name: str) -> dict[str, str]:
    asked = {target.where: target.target["expr"] for target in targets(name)}
    return asked | {f"{name}: {each['name']}": each["expr"] for each in board(name)["annotations"]["list"]}


def asked_for(name: str) -> list[tuple[str, Selector]]:
    return [(where, each) for where, expr in expressions(name).items() for each in selectors(expr)]


def metric_of(name: str) -> Metric | None:
    for part in ("", *HISTOGRAM_PARTS):
        metric = CATALOGUE.get(name.removesuffix(part)) if name.endswith(part) else None
        if metric and (part == "") != (metric.kind is Kind.HISTOGRAM):
            return metric
    return None


def labels_of(name: str) -> set[str]:
    metric = metric_of(name)
    own = metric.labels if metric else RECORDED.get(name) or FOREIGN[name]
    return {*own, *SCRAPED, *(["le"] if name.endswith("_bucket") else [])}


def is_counter(name: str) -> bool:
    metric = metric_of(name)
    return metric.kind in (Kind.COUNTER, Kind.HISTOGRAM) if metric else name.endswith(("_total", "_bucket"))


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_is_emitted_by_somebody(name: str) -> None:
    asked = asked_for(name)

    assert [
        each for each in asked if not metric_of(each[1].metric) and each[1].metric not in {*FOREIGN, *RECORDED}
    ] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_label_belongs_to_its_metric(name: str) -> None:
    for where, selector in asked_for(name):
        assert {label for label, _, _ in selector.matchers} <= labels_of(selector.metric), where


@pytest.mark.parametrize("name", NAMES)
def test_every_aggregation_keeps_labels_that_are_there(name: str) -> None:
    for where, expr in expressions(name).items():
        for grouping in groupings(expr):
            known = set(grouping.made).union(*(labels_of(metric) for metric in grouping.metrics))
            assert set(grouping.labels) <= known, where


@pytest.mark.parametrize("name", NAMES)
def test_values_of_closed_labels_are_in_the_vocabulary(name: str) -> None:
    for where, selector in asked_for(name):
        metric = metric_of(selector.metric)
        for label, _, value in selector.matchers:
            if metric and label in metric.values and value != ".*":
                assert set(value.split("|")) <= set(metric.values[label]), where


@pytest.mark.parametrize("name", NAMES)
def test_counters_are_never_shown_raw(name: str) -> None:
    for where, selector in asked_for(name):
        assert not is_counter(selector.metric) or selector.function in ("rate", "increase"), where


def test_every_metric_of_the_catalogue_is_seen_on_some_dashboard() -> None:
    asked = (each.metric for name in NAMES for _, each in asked_for(name))
    shown = {metric.name for name in asked if (metric := metric_of(name))}

    assert sorted(set(CATALOGUE) - shown) == []


def test_the_list_of_foreign_metrics_holds_nothing_unused() -> None:
    used = {each.metric for name in NAMES for _, each in asked_for(name)}
    asked_by_variables = {metric for metric in FOREIGN for name in NAMES if metric in str(board(name)["templating"])}

    assert sorted(set(FOREIGN) - used - asked_by_variables) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_asks_for_a_label_of_its_metric(name: str) -> None:
    for variable in board(name)["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert asked
            [selector] = selectors(filled(asked[1]))
            assert asked[2] in {*labels_of(selector.metric)}


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_obeys_each_filter_of_its_board_that_its_metrics_can_obey(name: str) -> None:
    filters = {
        variable["name"]: variable["query"]["query"].rpartition(", ")[2].removesuffix(")")
        for variable in board(name)["templating"]["list"][1:]
    }
    ignored = {
        (variable, panel["title"])
        for panel in panels(name)
        for variable, label in filters.items()
        if not any(f"${variable}" in target.get("expr", "") for target in panel["targets"])
        and any(label in labels_of(each.metric) for target in panel["targets"] for each in selectors(target["expr"]))
    }

    assert ignored == {each for panels_of in UNFILTERED.get(name, {}).values() for each in panels_of}


@pytest.mark.parametrize("name", NAMES)
def test_series_of_one_panel_have_different_names(name: str) -> None:
    for target in targets(name):
        node = promql_parser.parse(filled(target.target["expr"]))
        if isinstance(node, promql_parser.AggregateExpr) and target.target.get("format") != "table":
            kept = set(node.modifier.labels) if node.modifier else set()
            named = set(re.findall(r"{{(\w+)}}", target.target["legendFormat"]))
            assert kept - named <= ({"agent_type"} if "agent" in named else set()), target.where
