"""The health score: the published formula, with unknown neither healthy nor zero."""

import re
from pathlib import Path

import pytest

from contract.vocabulary import HealthComponent, RunOutcome
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
        ({"a": [UP, UNKNOWN]}, 100, Status.DEGRADED),
        ({"a": [UP, STALE]}, 100, Status.DEGRADED),
        ({"a": [UP], "b": [UNKNOWN]}, 100, Status.DEGRADED),
        ({"a": [UNKNOWN, STALE]}, None, Status.UNKNOWN),
        ({"a": [], "b": [UP]}, 100, Status.HEALTHY),
        ({"a": []}, None, Status.NOT_CONFIGURED),
        ({"a": [UP] * 99 + [DOWN]}, 99, Status.HEALTHY),
        ({"a": [UP, DOWN], **{name: [UP] for name in "bcdefghij"}}, 95, Status.DEGRADED),
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


def combined(*components: Component, criticals: tuple[str, ...] = (), **weights: float) -> SystemHealth:
    chosen = {HealthComponent(name): weight for name, weight in weights.items()}
    return score.combine(components, chosen, criticals)


def test_system_is_the_mean_of_its_known_parts() -> None:
    health = combined(AGENTS, of(HealthComponent.WORKFLOWS, 60, Status.DEGRADED), ABSENT)
    assert (health.score, health.status) == (80, Status.DEGRADED)


def test_weights_move_the_mean() -> None:
    workflows = of(HealthComponent.WORKFLOWS, 60, Status.DEGRADED)
    assert combined(AGENTS, workflows, agents=3).score == 90
    assert combined(AGENTS, workflows, workflows=0).score == 100


def test_part_that_should_be_known_and_is_not_leaves_the_system_degraded() -> None:
    health = combined(AGENTS, of(HealthComponent.WORKFLOWS, None, Status.UNKNOWN))
    assert (health.score, health.status) == (100, Status.DEGRADED)


def test_part_that_is_not_configured_does_not() -> None:
    assert combined(AGENTS, ABSENT).status is Status.HEALTHY


def test_worst_part_decides_the_status() -> None:
    assert combined(AGENTS, of(HealthComponent.SECURITY, 10, Status.UNHEALTHY)).status is Status.UNHEALTHY


def test_firing_critical_alert_leaves_the_system_degraded() -> None:
    assert combined(AGENTS, criticals=("AgentDown",)).status is Status.DEGRADED


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


def test_reasons_name_every_part_that_is_not_well() -> None:
    checks: dict[str, tuple[Check, float | str]] = {"cpu": (RATIO, 0.95), "disk": (RATIO, 0.1), "memory": (RATIO, "no")}
    health = combined(
        score.agents({"a": [UP, DOWN], "b": [UP], "c": [UP, STALE], "d": [ODD]}),
        score.checks(HealthComponent.INFRASTRUCTURE, checks),
        score.not_measured_yet(of(HealthComponent.WORKFLOWS, None, Status.UNKNOWN)),
        of(HealthComponent.SECURITY, None, Status.UNKNOWN),
        criticals=("AgentDown", "AgentDown"),
    )
    assert list(health.reasons) == [
        ("a", "1 of 2 healthy"),
        ("c", "1 of 2 healthy, 1 unknown"),
        ("d", "1 of 1 healthy, 1 degraded"),
        ("cpu", "95.0 %"),
        ("memory", "no"),
        ("workflows", "not measured yet"),
        ("security", "unknown"),
        ("AgentDown", "fires"),
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
    for number in (score.HEALTHY_FROM, score.DEGRADED_FROM, score.MIN_RUNS, *score.POINTS.values()):
        assert f"{number:g}" in page
    assert f"{defaults.window / 60:g} minutes" in page
    assert f"younger than {YOUNG_SECONDS:g} seconds" in page
    for status in Status:
        assert f"`{status}`" in page
