"""The health score: the published formula, with unknown neither healthy nor zero."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.vocabulary import HealthComponent, RunOutcome, Severity
from exporter.config import Check, Health
from exporter.fleet import AgentState
from exporter.health import score
from exporter.health.score import Component, Status, SystemHealth
from exporter.service import YOUNG_SECONDS

UP, ODD, DOWN = AgentState.HEALTHY, AgentState.DEGRADED, AgentState.UNHEALTHY
STALE, UNKNOWN = AgentState.STALE, AgentState.UNKNOWN
RATIO = Check(query="x", good=0.9, bad=1.0, unit="ratio")
COUNT = Check(query="x", good=2, bad=10)
FALLING = Check(query="x", good=100, bad=0)


@pytest.mark.parametrize(
    ("states", "expected", "status"),
    [
        ({"a": [UP, UP]}, 100, Status.HEALTHY),
        ({"a": [UP, DOWN], "b": [UP]}, 75, Status.DEGRADED),
        ({"a": [DOWN], "b": [UP] * 99}, 50, Status.DEGRADED),
        ({"a": [DOWN], "b": [DOWN, UP]}, 25, Status.UNHEALTHY),
        ({"a": [ODD, UP]}, 75, Status.DEGRADED),
        ({"a": [UP, UNKNOWN]}, 89, Status.DEGRADED),
        ({"a": [UP, STALE]}, 89, Status.DEGRADED),
        ({"a": [UP], "b": [UNKNOWN]}, 89, Status.DEGRADED),
        ({"a": [UNKNOWN, STALE]}, None, Status.UNKNOWN),
        ({"a": [], "b": [UP]}, 100, Status.HEALTHY),
        ({"a": []}, None, Status.NOT_CONFIGURED),
        ({"a": [UP] * 99 + [DOWN]}, 89, Status.DEGRADED),
        ({"a": [UP] * 99 + [ODD]}, 99.5, Status.HEALTHY),
        ({"a": [UP, DOWN], **{name: [UP] for name in "bcdefghij"}}, 89, Status.DEGRADED),
    ],
)
def test_agents_are_the_mean_over_types_of_known_agents(
    states: dict[str, list[AgentState]], expected: float | None, status: Status
) -> None:
    component = score.agents(states)
    assert (component.score, component.status) == (expected, status)


def test_unknown_agents_are_said_to_be_unknown() -> None:
    (part,) = score.agents({"a": [UP, DOWN, STALE]}).parts
    assert (part.score, part.detail) == (50, "1 of 3 healthy, 1 unknown")


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        ({"completed": 10}, 100),
        ({"completed": 9, "failed": 1}, 90),
        ({"completed": 7, "failed": 1, "timed_out": 1, "max_iterations": 1}, 70),
        ({"completed": 5, "cancelled": 50, "rejected": 50}, 100),
        ({"failed": 1}, 80),
        ({"failed": 5}, 0),
        ({}, 100),
    ],
)
def test_workflow_is_judged_by_the_share_of_runs_that_failed(ended: dict[str, int], expected: float) -> None:
    counts = {RunOutcome(outcome): float(count) for outcome, count in ended.items()}
    assert score.workflows({"x": counts}).score == pytest.approx(expected)


def test_workflow_whose_engine_cannot_be_read_leaves_the_average() -> None:
    component = score.workflows({"x": {RunOutcome.COMPLETED: 9.0, RunOutcome.FAILED: 1.0}, "y": None})
    assert component.score == 90
    assert [(part.name, part.score) for part in component.parts] == [("x", 90), ("y", None)]


def test_only_unreadable_engines_make_workflows_unknown() -> None:
    component = score.workflows({"engine": None})
    assert (component.score, component.status) == (None, Status.UNKNOWN)


@pytest.mark.parametrize(
    ("check", "value", "expected"),
    [
        (RATIO, 0.2, 100),
        (RATIO, 0.9, 100),
        (RATIO, 0.95, 50),
        (RATIO, 1.0, 0),
        (COUNT, 0, 100),
        (COUNT, 6, 50),
        (COUNT, 10, 0),
        (COUNT, 1000, 0),
        (FALLING, 25, 25),
        (FALLING, 200, 100),
    ],
)
def test_check_runs_from_good_to_bad_in_a_line(check: Check, value: float, expected: float) -> None:
    component = score.checks(HealthComponent.SECURITY, {"x": (check, value)})
    assert component.score == pytest.approx(expected)


@pytest.mark.parametrize(
    ("check", "value"), [(RATIO, 1.0), (RATIO, 1.0 + 2**-52), (COUNT, 10), (FALLING, 0), (FALLING, -1)]
)
def test_score_of_the_worst_is_zero_and_never_minus_zero(check: Check, value: float) -> None:
    component = score.checks(HealthComponent.INFRASTRUCTURE, {"cpu": (check, value)})
    health = score.combine([component], {})
    found = [component.score, component.parts[0].score, health.score]
    assert [str(points) for points in found] == ["0.0", "0.0", "0.0"]


def test_worst_check_decides_and_unknown_ones_are_shown() -> None:
    results: dict[str, tuple[Check, float | str]] = {
        "cpu": (RATIO, 0.5),
        "disk": (RATIO, 0.98),
        "memory": (RATIO, "no data"),
    }
    component = score.checks(HealthComponent.INFRASTRUCTURE, results)
    assert component.score == pytest.approx(20)
    assert component.status is Status.UNHEALTHY
    assert [(part.name, part.detail) for part in component.parts] == [
        ("cpu", "50.0 %"),
        ("disk", "98.0 %"),
        ("memory", "no data"),
    ]


def of(name: HealthComponent, points: float | None, status: Status) -> Component:
    return Component(name, points, status, ())


AGENTS = of(HealthComponent.AGENTS, 100, Status.HEALTHY)
ABSENT = of(HealthComponent.SECURITY, None, Status.NOT_CONFIGURED)


def combined(*components: Component, alarms: Mapping[str, Severity] = {}, **weights: float) -> SystemHealth:
    chosen = {HealthComponent(name): weight for name, weight in weights.items()}
    return score.combine(components, chosen, alarms)


def test_system_is_the_mean_of_its_known_parts() -> None:
    health = combined(AGENTS, of(HealthComponent.WORKFLOWS, 60, Status.DEGRADED), ABSENT)
    assert (health.score, health.status) == (80, Status.DEGRADED)


def test_weights_move_the_mean() -> None:
    workflows = of(HealthComponent.WORKFLOWS, 60, Status.DEGRADED)
    assert combined(AGENTS, workflows, agents=2).score == pytest.approx(86.67, abs=0.01)
    assert combined(AGENTS, workflows, agents=0).score == 60


def test_part_that_should_be_known_and_is_not_leaves_the_system_degraded() -> None:
    health = combined(AGENTS, of(HealthComponent.WORKFLOWS, None, Status.UNKNOWN))
    assert (health.score, health.status) == (89, Status.DEGRADED)


def test_part_that_is_not_configured_does_not() -> None:
    assert combined(AGENTS, ABSENT).status is Status.HEALTHY


def test_worst_part_decides_the_status() -> None:
    health = combined(AGENTS, of(HealthComponent.SECURITY, 10, Status.UNHEALTHY))
    assert (health.score, health.status) == (49, Status.UNHEALTHY)


@pytest.mark.parametrize("severity", [Severity.CRITICAL, Severity.MAJOR])
def test_firing_alarm_leaves_the_system_degraded(severity: Severity) -> None:
    health = combined(AGENTS, alarms={"HighErrorRate": severity})
    assert (health.score, health.status) == (89, Status.DEGRADED)


def test_alarm_is_heard_while_the_system_starts_or_is_unknown() -> None:
    unknown = of(HealthComponent.AGENTS, None, Status.UNKNOWN)
    for component in (unknown, score.not_measured_yet(unknown)):
        health = combined(component, alarms={"TargetMissing": Severity.MAJOR})
        assert (health.score, health.status) == (None, Status.DEGRADED)


def test_what_starts_has_no_score_yet() -> None:
    starting = score.agents({"a": [UP, UNKNOWN]}, is_young=True)
    assert (starting.score, starting.status) == (None, Status.STARTING)
    health = combined(starting, of(HealthComponent.WORKFLOWS, 100, Status.HEALTHY))
    assert (health.score, health.status) == (None, Status.STARTING)


@given(
    st.dictionaries(st.sampled_from("abcd"), st.lists(st.sampled_from(AgentState), max_size=4)),
    st.floats(0, 1),
    st.dictionaries(st.sampled_from(["A", "B"]), st.sampled_from([Severity.CRITICAL, Severity.MAJOR])),
    st.floats(0, 3),
)
def test_score_by_itself_gives_the_same_verdict(
    states: dict[str, list[AgentState]], share: float, alarms: dict[str, Severity], weight: float
) -> None:
    health = combined(
        score.agents(states),
        score.checks(HealthComponent.INFRASTRUCTURE, {"cpu": (RATIO, share)}),
        alarms=alarms,
        infrastructure=weight,
    )
    for points, status in [(health.score, health.status), *((each.score, each.status) for each in health.components)]:
        if points is not None:
            assert score.status_of(points) is status
    if health.status is not Status.UNKNOWN:
        assert (health.status is Status.HEALTHY) == (not health.reasons)


def test_nothing_known_is_unknown() -> None:
    health = combined(of(HealthComponent.AGENTS, None, Status.UNKNOWN), ABSENT)
    assert (health.score, health.status) == (None, Status.UNKNOWN)


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ([UNKNOWN, UNKNOWN], Status.STARTING),
        ([UP, UNKNOWN], Status.STARTING),
        ([UP, UP], Status.HEALTHY),
        ([UP, DOWN, UNKNOWN], Status.DEGRADED),
        ([UP, STALE, UNKNOWN], Status.DEGRADED),
    ],
)
def test_agents_not_probed_yet_do_not_degrade_a_young_system(states: list[AgentState], status: Status) -> None:
    assert score.agents({"a": states}, is_young=True).status is status


@pytest.mark.parametrize(
    ("others", "status"),
    [
        ([], Status.STARTING),
        ([of(HealthComponent.AGENTS, 100, Status.HEALTHY)], Status.STARTING),
        ([of(HealthComponent.AGENTS, 75, Status.DEGRADED)], Status.DEGRADED),
        ([of(HealthComponent.AGENTS, 0, Status.UNHEALTHY)], Status.UNHEALTHY),
        ([AGENTS, of(HealthComponent.WORKFLOWS, None, Status.UNKNOWN)], Status.DEGRADED),
    ],
)
def test_starting_hides_nothing_worse(others: list[Component], status: Status) -> None:
    young = score.not_measured_yet(of(HealthComponent.INFRASTRUCTURE, None, Status.UNKNOWN))
    assert combined(*others, young).status is status


def test_only_what_is_unknown_is_not_measured_yet() -> None:
    assert score.not_measured_yet(AGENTS) is AGENTS


def test_reasons_name_every_part_that_is_not_well_worst_first() -> None:
    checks: dict[str, tuple[Check, float | str]] = {"cpu": (RATIO, 0.95), "disk": (RATIO, 0.1), "memory": (RATIO, "no")}
    health = combined(
        score.agents({"a": [UP, DOWN], "b": [UP], "c": [UP, STALE], "d": [ODD], "e": [DOWN], "f": [UP] * 19 + [DOWN]}),
        score.checks(HealthComponent.INFRASTRUCTURE, checks),
        score.not_measured_yet(of(HealthComponent.WORKFLOWS, None, Status.UNKNOWN)),
        of(HealthComponent.SECURITY, None, Status.UNKNOWN),
        alarms={"AgentDown": Severity.CRITICAL, "HighErrorRate": Severity.MAJOR},
    )
    assert list(health.reasons) == [
        ("e", "0 of 1 healthy"),
        ("AgentDown", "fires"),
        ("a", "1 of 2 healthy"),
        ("d", "1 of 1 healthy, 1 degraded"),
        ("f", "19 of 20 healthy"),
        ("cpu", "95.0 %"),
        ("HighErrorRate", "fires"),
        ("c", "1 of 2 healthy, 1 unknown"),
        ("memory", "no"),
        ("security", "unknown"),
        ("workflows", "not measured yet"),
    ]


def test_healthy_system_needs_no_reason() -> None:
    assert combined(AGENTS, ABSENT).reasons == []


def test_published_formula_names_every_number_of_the_code() -> None:
    page = Path("docs/health-score.md").read_text(encoding="utf-8")
    defaults = Health()
    for component in HealthComponent:
        assert f"## {component.value.capitalize()}" in page
    for name, check in {**defaults.infrastructure, **defaults.security}.items():
        row = re.search(rf"^\| `{name}` \|.*$", page, re.MULTILINE)
        assert row, f"{name} is not in docs/health-score.md"
        assert f"| {check.good:g} | {check.bad:g} |" in row[0]
        assert f"`{check.query}`".replace("|", "\\|") in row[0]
    published = (score.HEALTHY_FROM, score.DEGRADED_FROM, score.MIN_RUNS)
    for number in (*published, *score.POINTS.values(), *score.CEILINGS.values()):
        assert f"{number:g}" in page
    assert f"{defaults.window / 60:g} minutes" in page
    assert f"younger than {YOUNG_SECONDS:g} seconds" in page
    for status in Status:
        assert f"`{status}`" in page
