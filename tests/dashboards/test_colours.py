"""One colour has one meaning, and no two series of a panel wear the same."""

import re
from collections.abc import Iterator
from itertools import pairwise, product

import pytest

from contract.vocabulary import AuthReason
from dashboards.conventions import MEANING, Colour
from tests.dashboards.reading import NAMES, Json, panels, selectors
from tests.dashboards.test_catalogue import metric_of

NOT = "MatchOp.NotEqual"
GREENS = {"green", "super-light-green"}
WENT_WELL = {"ok", "completed", "success", "allow", "hit", "accepted", "exported", "auth_success", "authz_allow"}
GRAPHS = {
    f"{name}: {panel['title']} {panel['id']}": panel
    for name in NAMES
    for panel in panels(name)
    if panel["type"] == "timeseries"
}
each_graph = pytest.mark.parametrize("panel", GRAPHS.values(), ids=GRAPHS)


def closed_values(expr: str, label: str) -> tuple[str, ...]:
    """Return what a label can say in the answer to a query; nothing where that is open."""
    asked = selectors(expr)
    metrics = [metric for each in asked if (metric := metric_of(each.metric))]
    values = dict.fromkeys(value for metric in metrics for value in metric.values.get(label, ()))
    refused = {value for each in asked for name, operator, value in each.matchers if (name, operator) == (label, NOT)}
    if any((name, operator) == ("result", NOT) for each in asked for name, operator, _ in each.matchers):
        refused.add("ok")  # the reason of success alone
    return tuple(value for value in values if value not in refused)


def possible(panel: Json) -> Iterator[str]:
    """Yield the name of every series that a panel can show whose labels are closed sets."""
    for target in panel["targets"]:
        legend = target["legendFormat"]
        labels = re.findall(r"{{(\w+)}}", legend)
        sets = [closed_values(target["expr"], label) for label in labels]
        for chosen in product(*sets) if labels or len(panel["targets"]) > 1 else ():
            name = legend
            for label, value in zip(labels, chosen, strict=True):
                name = name.replace(f"{{{{{label}}}}}", value)
            yield name


def colour(panel: Json, series: str) -> str:
    """Return what Grafana paints a series in: the last override that fits."""
    found = ""
    for override in panel["fieldConfig"]["overrides"]:
        pattern = override["matcher"]["options"].strip("/")
        paint = [each["value"]["fixedColor"] for each in override["properties"] if each["id"] == "color"]
        if override["matcher"]["id"] == "byRegexp" and re.search(pattern, series):
            found = paint[0]
    return found


@each_graph
def test_every_series_of_a_closed_set_has_a_colour_of_its_own(panel: Json) -> None:
    colours = {series: colour(panel, series) for series in possible(panel)}

    assert [series for series, found in colours.items() if not found] == []
    assert len(set(colours.values())) == len(colours), colours


@each_graph
def test_what_went_well_and_only_that_is_green(panel: Json) -> None:
    for series in possible(panel):
        is_good = series.rpartition(" ")[2] in WENT_WELL | {"healthy"}
        assert (colour(panel, series) in GREENS) == is_good, series


def test_the_sets_are_really_looked_at() -> None:
    seen = {series for panel in GRAPHS.values() for series in possible(panel)}

    assert {
        "authz_deny",
        "export_failed",
        "max_iterations",
        "encrypt failure",
        "for approval",
        "revoked",
        "p99",
    } <= seen


def test_neighbouring_reasons_of_refusals_differ_in_hue() -> None:
    reasons = sorted(reason for reason in AuthReason if reason is not AuthReason.OK)
    hues = [MEANING[reason].rpartition("-")[2] for reason in reasons]

    assert all(one != next_one for one, next_one in pairwise(hues))
    assert "green" not in hues
    assert len({MEANING[reason] for reason in reasons}) == len(reasons)


def test_words_of_the_worst_wear_its_colour_everywhere() -> None:
    assert {MEANING[word] for word in ("critical", "error")} == {Colour.WORST}
