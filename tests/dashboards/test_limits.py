"""Limits come out of policies as they are written, whatever the kind of condition."""

import re
from pathlib import Path

import promql_parser
import pytest

from dashboards.__main__ import POLICIES
from dashboards.alerts import starts
from dashboards.conventions import MEANING, Colour
from dashboards.limits import LimitError, Limits
from dashboards.queries import first_label, narrowed
from rules import pack
from tests.dashboards.reading import panels

POLICY = """
component: agents
policies:
  tested:
    severity: major
    channels: [slack]
    escalation: standard
    condition:
{condition}
    summary: It happens
    description: It happens often.
"""


def limits(folder: Path, condition: str) -> Limits:
    indented = "\n".join(f"      {line}" for line in condition.strip().splitlines())
    (folder / "tested.yaml").write_text(POLICY.format(condition=indented))
    return Limits(pack.read(folder))


def test_a_threshold_gives_its_expression_and_limit(tmp_path: Path) -> None:
    limit = limits(tmp_path, "threshold: {of: mcp_workflow_queue_oldest_seconds, above: 20}").of("tested")

    assert (limit.expr, limit.value, limit.is_lower_bound) == ("mcp_workflow_queue_oldest_seconds", 20.0, False)
    assert (limit.steps, limit.base) == ([(20.0, Colour.WARNING)], Colour.GOOD)


def test_more_than_ten_whole_events_are_bad_from_eleven_on(tmp_path: Path) -> None:
    limit = limits(tmp_path, "count: {of: mcp_auth_lockouts_total, over: 1m, above: 10}").of("tested")

    assert limit.steps == [(11.0, Colour.WARNING)]
    assert limit.value == 10.0


@pytest.mark.parametrize(
    ("name", "title", "policy"),
    [
        ("agents", "Tools that drifted", "agent_tool_drift"),
        ("workflows", "Runs in the queue", "workflow_queue_growing"),
        ("security", "Failed authentications", "security_breach"),
        ("lookout", "Failed evaluations", "rule_evaluation_failing"),
        ("lookout", "Messages not sent", "notifications_failing"),
    ],
)
def test_a_count_at_the_limit_is_not_coloured_as_if_its_alert_fired(name: str, title: str, policy: str) -> None:
    limit = Limits(pack.read(POLICIES)).of(policy)
    [panel] = [each for each in panels(name) if each["title"] == title]
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]

    def colour_of(value: float) -> str:
        """The last step that is not above the value, as Grafana takes it."""
        reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
        return str(reached[-1])

    assert colour_of(limit.value) == Colour.GOOD
    assert colour_of(limit.value + 1) == MEANING[limit.severity.value]


@pytest.mark.parametrize(
    ("condition", "start"),
    [
        ("threshold: {of: mcp_workflow_queue_depth, above: 2.5}", 3.0),
        ("raw: mcp_workflow_queue_depth >= 10", 10.0),
        ("raw: mcp_workflow_queue_depth <= 10", 11.0),
        ("raw: mcp_workflow_queue_depth < 10", 10.0),
        ("raw: mcp_workflow_queue_depth / 2 > 10", 10.0),
    ],
)
def test_colours_change_at_the_first_whole_number_beyond_and_at_the_limit_of_what_is_measured(
    tmp_path: Path, condition: str, start: float
) -> None:
    [(value, _)] = limits(tmp_path, condition).of("tested").steps

    assert value == start


def test_a_lower_bound_is_bad_below(tmp_path: Path) -> None:
    condition = "ratio: {part: good_total, whole: all_total, over: 5m, minimum_events: 5, below: 90%}"

    limit = limits(tmp_path, condition).of("tested")

    assert limit.is_lower_bound
    assert (limit.base, limit.steps) == (Colour.WARNING, [(0.9, Colour.GOOD)])


def test_a_ratio_is_shown_without_its_guard_and_narrowed_to_what_was_chosen(tmp_path: Path) -> None:
    condition = "ratio: {part: 'bad_total{kind=\"x\"}', whole: all_total, over: 5m, minimum_events: 5, above: 5%}"

    limit = limits(tmp_path, condition).of("tested", matchers='agent_type=~"$agent_type"')

    assert limit.expr == (
        'sum(rate(bad_total{kind="x",agent_type=~"$agent_type"}[5m])) / '
        'sum(rate(all_total{agent_type=~"$agent_type"}[5m]))'
    )


def test_a_raw_condition_with_two_comparisons_is_asked_by_metric(tmp_path: Path) -> None:
    both = limits(tmp_path, "raw: |\n  first_ratio > 0.9\n  or\n  (second_ratio < 0.2)")

    assert both.of("tested", metric="first_ratio").value == 0.9
    assert both.of("tested", metric="second_ratio").is_lower_bound
    with pytest.raises(LimitError, match="compares 2 values of any metric, but a dashboard shows one"):
        both.of("tested")
    with pytest.raises(LimitError, match="compares 0 values of third"):
        both.of("tested", metric="third")


def test_a_policy_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(LimitError, match="policy gone is gone"):
        limits(tmp_path, "raw: up == 0").of("gone")


def test_a_panel_can_do_without_a_limit(tmp_path: Path) -> None:
    some = limits(tmp_path, "raw: up > 3")

    assert some.find("gone") is None
    found = some.find("tested")
    assert found
    assert found.value == 3.0


def test_only_a_ratio_can_be_narrowed(tmp_path: Path) -> None:
    with pytest.raises(LimitError, match="only a ratio"):
        limits(tmp_path, "raw: up > 3").of("tested", matchers='job="x"')


def test_channels_are_told_by_alert(tmp_path: Path) -> None:
    assert limits(tmp_path, "raw: up == 0").channels() == {"Tested": "slack"}


def test_an_alert_began_when_its_condition_had_been_true_for_its_waiting_time() -> None:
    query = starts(Limits(pack.read(POLICIES)))
    waits: dict[str, float] = {}
    for names, seconds in re.findall(r'ALERTS_FOR_STATE{alertname=~"([^"]+)"} \+ (\d+)\)', query):
        waits.update(dict.fromkeys(names.split("|"), float(seconds)))

    assert waits == {policy.alert: policy.terms.for_ for policy in pack.read(POLICIES) if policy.terms.for_}
    assert " or ALERTS_FOR_STATE)" in query, "of all others the condition is the start"


def test_matchers_are_added_to_bare_and_braced_selectors() -> None:
    assert narrowed("up", 'job="x"') == 'up{job="x"}'
    assert narrowed('up{instance="y"}', 'job="x"') == 'up{instance="y", job="x"}'
    assert narrowed('up{instance="y"}', "") == 'up{instance="y"}'


def test_the_most_telling_label_wins() -> None:
    nested = first_label("up", "subject", ("job", "agent"))

    assert nested.index('"job"') < nested.index('"agent"')
    promql_parser.parse(nested)
