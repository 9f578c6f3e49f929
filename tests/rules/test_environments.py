"""Overrides of an environment change what they name, nothing else, and must fit."""

from pathlib import Path

import pytest
import yaml

from alertmanager.__main__ import main as alertmanager_main
from contract.config import ConfigError
from rules import environments, pack
from rules.__main__ import main
from tests.rules.test_promtool import Release, both_releases, promtool

PACK = pack.read(Path("rules/policies"))
STAGING = Path("rules/environments/staging.yaml")


def overridden(folder: Path, text: str) -> pack.Pack:
    file = folder / "env.yaml"
    file.write_text(f"policies:\n{text}")
    return environments.apply(PACK, file)


def expression(read: pack.Pack, name: str) -> str:
    found = read.get(name)
    assert found is not None
    return found.terms.condition.expression()


def test_a_limit_replaces_the_number_and_keeps_the_comparison(tmp_path: Path) -> None:
    changed = overridden(tmp_path, "  workflow_failure: {limit: 50%, over: 10m, minimum_events: 7}\n")
    text = expression(changed, "workflow_failure")
    assert "< 0.5" in text
    assert ">= 7" in text
    assert "[10m]" in text
    assert expression(changed, "high_error_rate") == expression(PACK, "high_error_rate")


def test_terms_are_replaced_and_a_policy_is_switched_off(tmp_path: Path) -> None:
    changed = overridden(
        tmp_path, "  agent_down: {severity: minor, channels: [slack], for: 10m}\n  agent_slow: {enabled: false}\n"
    )
    found = changed.get("agent_down")
    assert found is not None
    assert (found.terms.severity, found.terms.channels, found.terms.for_) == ("minor", ("slack",), 600.0)
    assert found.terms.escalation == "immediate"
    assert changed.get("agent_slow") is None
    assert len(changed.policies) == len(PACK.policies) - 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("  agent_dawn: {for: 1m}\n", "env.yaml:2: policies.agent_dawn: no policy agent_dawn"),
        (
            "  exporter_down: {limit: 3}\n",
            "env.yaml:2: policies.exporter_down.limit: the condition of exporter_down (raw)",
        ),
        ("  agent_down: {over: 3m}\n", "policies.agent_down.over: the condition of agent_down (threshold) has no over"),
        ("  agent_down: {fur: 3m}\n", "env.yaml:2: policies.agent_down.fur: unknown key (did you mean for?)"),
    ],
)
def test_an_override_that_fits_nothing_is_reported(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        overridden(tmp_path, text)
    assert message in str(error.value)


@both_releases
def test_the_example_gives_rules_that_promtool_accepts(tmp_path: Path, release: Release) -> None:
    assert main(["--environment", str(STAGING), "--out", str(tmp_path)]) == 0
    done = promtool(release, "check", "rules", *sorted(tmp_path.glob("*.yaml")))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "token_cache_anomaly.yaml").exists()
    assert not (tmp_path / "tests" / "agent_down.yaml").exists()


def test_routes_follow_the_environment(tmp_path: Path) -> None:
    assert alertmanager_main(["--environment", str(STAGING), "--out", str(tmp_path)]) == 0
    config = yaml.safe_load((tmp_path / "alertmanager.yml").read_text())
    [route] = [each for each in config["route"]["routes"] if each.get("matchers") == ['alertname="AgentDown"']]
    assert "pagerduty" not in {child["receiver"] for child in route["routes"]}
    assert "TokenCacheAnomaly" not in str(config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agent_down: {limit: 0.5}", "policies.agent_down: unreachable_threshold: == 0.5 is out of reach"),
        ("agent_slow: {limit: -1}", "policies.agent_slow: always_true: > -1 always holds"),
        ("agent_slow: {limit: .inf}", "policies.agent_slow.limit: inf is not a number"),
        (
            "security_breach: {over: 10s}",
            "policies.security_breach: short_range: [10s] of mcp_auth_authentications_total",
        ),
        ("security_breach: {for: 5m}", "policies.security_breach.for: for_and_window: what is counted in 1m"),
        ("agent_down: {for: 90d}", "policies.agent_down.for: absurd_time: 90d of one and the same"),
        ("workflow_overdue: {after: 5y}", "policies.workflow_overdue.after: '5y' is not a duration"),
        ("workflow_overdue: {after: 520w}", "policies.workflow_overdue.after: absurd_time: 3640d is more than a year"),
        ("high_error_rate: {limit: 5}", "policies.high_error_rate: unreachable_threshold: a part is between 0 and 1"),
        ("high_error_rate: {minimum_events: 1e15}", "minimum_events: unreachable_volume: 1e+15 events"),
        (
            "agent_down: {channels: []}",
            "policies.agent_down.channels: silent_policy: a critical alert that reaches nobody",
        ),
        ("agent_down: {channels: [slak]}", "policies.agent_down.channels.0: unknown_channel: unknown channel slak"),
    ],
)
def test_what_an_override_makes_of_a_policy_is_linted_and_told_of_its_own_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    (tmp_path / "env.yaml").write_text(f"policies:\n  {text}\n")
    with pytest.raises(SystemExit) as ended:
        main(["--environment", str(tmp_path / "env.yaml"), "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith(f"{tmp_path / 'env.yaml'}:2: ")
    assert not (tmp_path / "out").exists()
