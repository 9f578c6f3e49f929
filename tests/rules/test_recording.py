"""The recorded burn rates and error budgets, by promtool of both supported ends."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from contract.config import ConfigError
from rules import slos
from tests.rules.test_promtool import both_releases, promtool

RECORDING = Path("rules/generated/recording.yaml")
Release = Literal["old", "new"]
PROBES = "mcp_agent_probes_total"


def run(
    folder: Path,
    release: Release,
    series: Mapping[str, str],
    expected: Mapping[str, tuple[str, float | None]],
    rules: Path = RECORDING,
) -> str:
    test: dict[str, Any] = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": expr, "eval_time": at, "exp_samples": [] if value is None else [{"labels": "{}", "value": value}]}
            for expr, (at, value) in expected.items()
        ],
    }
    file = folder / "test.yaml"
    order = [group["name"] for group in yaml.safe_load(rules.read_text())["groups"]]
    content = {
        "rule_files": [str(rules.resolve())],
        "evaluation_interval": "1m" if rules == RECORDING else "30m",
        "group_eval_order": order,
        "tests": [test],
    }
    file.write_text(yaml.safe_dump(content))
    done = promtool(release, "test", "rules", file)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def rounded(window: str, slo: str = "agent_availability") -> str:
    return f'sum(round(slo:burn_rate:ratio{window}{{slo="{slo}"}}, 0.1))'


@both_releases
def test_one_bad_probe_in_a_hundred_burns_ten_times_too_fast(tmp_path: Path, release: Release) -> None:
    series = {
        f'{PROBES}{{agent_type="planner", outcome="ok"}}': "0+98x130",
        f'{PROBES}{{agent_type="planner", outcome="degraded"}}': "0+1x130",
        f'{PROBES}{{agent_type="validator", outcome="timeout"}}': "0+1x130",
    }
    expected = {rounded(window): ("2h10m", 10.0) for window in ("5m", "30m", "1h", "2h")}
    assert run(tmp_path, release, series, expected) == ""


@both_releases
def test_a_fresh_start_is_not_judged_before_half_of_a_long_window_is_seen(tmp_path: Path, release: Release) -> None:
    series = {f'{PROBES}{{agent_type="planner", outcome="timeout"}}': "0+100x60"}
    expected: dict[str, tuple[str, float | None]] = {
        rounded("1h"): ("29m", None),
        f"{rounded('1h')} > 0": ("40m", 1000.0),
        rounded("6h"): ("1h", None),
        rounded("5m"): ("10m", 1000.0),
    }
    assert run(tmp_path, release, series, expected) == ""


@both_releases
def test_a_window_with_hardly_any_event_is_not_judged(tmp_path: Path, release: Release) -> None:
    series = {f'{PROBES}{{agent_type="planner", outcome="timeout"}}': "0+1x130"}
    assert run(tmp_path, release, series, {rounded("1h"): ("2h", None), rounded("2h"): ("2h", 1000.0)}) == ""


@both_releases
def test_a_workflow_that_has_never_completed_burns_at_full_speed(tmp_path: Path, release: Release) -> None:
    series = {'mcp_workflow_runs_total{workflow="w", outcome="failed"}': "0+1x130"}
    assert run(tmp_path, release, series, {rounded("1h", "workflow_success"): ("2h", 20.0)}) == ""


@both_releases
@pytest.mark.parametrize("bucket", ["30", "30.0"])
def test_latency_finds_its_bucket_however_it_is_written(tmp_path: Path, release: Release, bucket: str) -> None:
    series = {
        f'mcp_server_operation_duration_seconds_bucket{{le="{bucket}"}}': "0+90x130",
        'mcp_server_operation_duration_seconds_count{job="a"}': "0+100x130",
    }
    assert run(tmp_path, release, series, {rounded("1h", "operation_latency"): ("2h", 2.0)}) == ""


def budget_left(folder: Path, release: Release, good: str, every: str, at: str, value: float) -> str:
    """Run the rules of the budgets alone over events as they are recorded every minute."""
    groups = [group for group in yaml.safe_load(RECORDING.read_text())["groups"] if group["name"].endswith("_budgets")]
    rules = folder / "budgets.yaml"
    rules.write_text(yaml.safe_dump({"groups": groups}))
    events = {
        f'slo:{kind}:rate5m{{slo="workflow_success"}}': values for kind, values in (("good", good), ("all", every))
    }
    left = 'sum(round(slo:error_budget_left:ratio30d{slo="workflow_success"}, 0.01))'
    return run(folder, release, events, {left: (at, value)}, rules)


@both_releases
def test_the_budget_left_is_what_the_objective_allows_less_what_went_wrong(tmp_path: Path, release: Release) -> None:
    # Ten of a hundred, where five are allowed, for a fifth of the window: more points promtool does not take.
    assert budget_left(tmp_path, release, "90x8640", "100x8640", "6d", 0.6) == ""


@both_releases
def test_a_fault_of_five_minutes_in_the_first_hour_spends_next_to_nothing(tmp_path: Path, release: Release) -> None:
    assert budget_left(tmp_path, release, "100x29 0x4 100x56", "100x89", "90m", 1.0) == ""


@both_releases
def test_a_young_installation_that_fails_for_a_day_and_a_half_has_spent_it_all(
    tmp_path: Path, release: Release
) -> None:
    # 5 % of 30 days: 36 hours without a single success.
    assert budget_left(tmp_path, release, "0x2160", "100x2160", "36h", 0.0) == ""


def test_an_objective_that_nothing_can_miss_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "slos.yaml"
    file.write_text("objectives:\n  a: {objective: 99%, good: x, all: x, minimum_events: 1}\n")
    with pytest.raises(ConfigError, match=r"slos.yaml:2: objectives.a.good: every event is good"):
        slos.read(file)


@pytest.mark.parametrize("objective", ["100%", "0%", "99.9"])
def test_an_objective_is_a_share(tmp_path: Path, objective: str) -> None:
    file = tmp_path / "slos.yaml"
    file.write_text(f"objectives:\n  a: {{objective: {objective}, good: x, all: y, minimum_events: 1}}\n")
    with pytest.raises(ConfigError, match=r"objectives\.a\.objective"):
        slos.read(file)
