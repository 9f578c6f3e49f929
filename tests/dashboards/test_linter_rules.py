"""The rules of Grafana's dashboard linter, one test a rule; an exception carries its reason."""

import re

import promql_parser
import pytest

from dashboards.queries import OVERLAP
from tests.dashboards.reading import NAMES, board, filled, panels, selectors, targets

WINDOW_OF_AN_ALERT = {
    "Workflow runs OK": "shows the value that the alert judges, over the alert's window",
    "Workflow success": "shows the value that the alert judges, over the alert's window",
    "Request error rate": "shows the value that the alert judges, over the alert's window",
    "Error rate by agent type": "shows the value that the alert judges, over the alert's window",
    "Busiest processor": "shows the value that the alert judges, over the alert's window",
}
FIXED_WINDOW = r"rate\([^\[]+\[(?!\$__rate_interval\])"
UNITS = {
    "none",
    "short",
    "s",
    "ops",
    "opm",
    "reqps",
    "pps",
    "Bps",
    "bytes",
    "percentunit",
    "suffix:records/s",
    "suffix:samples/s",
}


@pytest.mark.parametrize("name", NAMES)
def test_template_datasource_rule_the_data_source_is_a_variable(name: str) -> None:
    first = board(name)["templating"]["list"][0]

    assert (first["type"], first["name"], first["label"], first["query"]) == (
        "datasource",
        "datasource",
        "Data source",
        "prometheus",
    )
    assert first["current"]["value"] == "prometheus"


@pytest.mark.parametrize("name", NAMES)
def test_template_job_and_instance_rules_have_a_reason_to_be_left(name: str) -> None:
    """Series name what they are about (agent, workflow, issuer); job and instance only tell which exporter saw it.

    A reader who had to choose them would see a shard of the fleet. Only hosts are named by their instance.
    """
    variables = {variable["name"] for variable in board(name)["templating"]["list"]}

    assert "job" not in variables
    assert ("instance" in variables) == (name == "infrastructure")


@pytest.mark.parametrize("name", NAMES)
def test_template_label_promql_rule_variables_ask_prometheus(name: str) -> None:
    for variable in board(name)["templating"]["list"][1:]:
        assert re.fullmatch(r"label_values\(.+, \w+\)", variable["query"]["query"])
        assert variable["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@pytest.mark.parametrize("name", NAMES)
def test_template_on_time_change_reload_rule_variables_follow_the_time_range(name: str) -> None:
    assert all(variable["refresh"] == 2 for variable in board(name)["templating"]["list"][1:])


@pytest.mark.parametrize("name", NAMES)
def test_panel_datasource_rule_every_panel_and_query_uses_the_variable(name: str) -> None:
    wanted = {"type": "prometheus", "uid": "${datasource}"}

    for panel in panels(name):
        assert [panel["datasource"], *(target["datasource"] for target in panel["targets"])] == [wanted] * (
            1 + len(panel["targets"])
        )


@pytest.mark.parametrize("name", NAMES)
def test_panel_title_description_rule_every_panel_says_what_is_seen(name: str) -> None:
    for panel in panels(name):
        assert panel["title"][0].isupper()
        assert panel["description"].endswith((".", "?")), panel["title"]
        assert len(panel["description"]) > len(panel["title"])


@pytest.mark.parametrize("name", NAMES)
def test_panel_units_rule_every_panel_has_a_unit_of_grafana(name: str) -> None:
    assert {panel["fieldConfig"]["defaults"]["unit"] for panel in panels(name)} <= UNITS


@pytest.mark.parametrize("name", NAMES)
def test_panel_no_targets_rule_every_panel_asks_something(name: str) -> None:
    assert all(panel["targets"] for panel in panels(name))


@pytest.mark.parametrize("name", NAMES)
def test_target_promql_rule_every_query_parses(name: str) -> None:
    for target in targets(name):
        promql_parser.parse(filled(target.target["expr"]))


@pytest.mark.parametrize("name", NAMES)
def test_target_rate_interval_rule_rates_use_the_panels_interval(name: str) -> None:
    for target in targets(name):
        if target.panel["title"] not in WINDOW_OF_AN_ALERT:
            assert not re.search(FIXED_WINDOW, target.target["expr"]), target.where


@pytest.mark.parametrize("name", NAMES)
def test_target_counter_agg_rule_counters_stand_in_rate_or_increase(name: str) -> None:
    for target in targets(name):
        for selector in selectors(target.target["expr"]):
            assert not selector.metric.endswith("_total") or selector.function in ("rate", "increase"), target.where


@pytest.mark.parametrize("name", NAMES)
def test_uneditable_dashboard_rule_what_is_reviewed_is_what_is_seen(name: str) -> None:
    assert board(name)["editable"] is False


def test_the_exceptions_are_all_needed() -> None:
    every = [target for name in NAMES for target in targets(name)]

    assert {each.panel["title"] for each in every if re.search(FIXED_WINDOW, each.target["expr"])} == set(
        WINDOW_OF_AN_ALERT
    )


@pytest.mark.parametrize("name", NAMES)
def test_bars_that_count_an_event_again_say_so(name: str) -> None:
    for target in targets(name):
        if re.search(r"increase\([^\[]+\[\$__rate_interval\]", target.target["expr"]):
            assert OVERLAP in target.panel["description"], target.where
