"""The generated rules and their unit tests, judged by promtool of both supported ends."""

import subprocess
from pathlib import Path
from typing import Literal

import pytest
import yaml

from rules import pack
from rules.policy import Policy
from tests.tools import tool

GENERATED = Path("rules/generated")
PACK = pack.read(Path("rules/policies"))
Release = Literal["old", "new"]
both_releases = pytest.mark.parametrize("release", ["old", "new"])


def promtool(release: Release, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [tool("promtool", release), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@both_releases
def test_promtool_accepts_every_rule_file(release: Release) -> None:
    files = sorted(GENERATED.glob("*.yaml"))
    done = promtool(release, "check", "rules", *files)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") == len(files) > 0


@both_releases
def test_promtool_accepts_the_configuration_together_with_its_rules(tmp_path: Path, release: Release) -> None:
    (tmp_path / "prometheus.yml").write_text(Path("rules/prometheus.yml").read_text())
    (tmp_path / "rules").symlink_to(GENERATED.resolve())
    done = promtool(release, "check", "config", tmp_path / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(list(GENERATED.glob('*.yaml')))} rule files found" in done.stdout


@both_releases
def test_every_alert_fires_stays_silent_and_resolves(release: Release) -> None:
    done = promtool(release, "test", "rules", *sorted((GENERATED / "tests").glob("*.yaml")))
    assert done.returncode == 0, done.stdout + done.stderr


def test_unit_tests_name_rule_files_that_exist() -> None:
    # promtool passes silently when a pattern matches nothing (prometheus#6182).
    for file in (GENERATED / "tests").glob("*.yaml"):
        for name in yaml.safe_load(file.read_text())["rule_files"]:
            assert (file.parent / name).is_file(), (file, name)


@pytest.mark.parametrize("policy", PACK.policies, ids=str)
def test_every_policy_has_cases_that_fire_stay_silent_and_resolve(policy: Policy) -> None:
    cases = policy.terms.tests.values()
    assert any(case.fires_at for case in cases)
    if policy.name != "watchdog":  # It always fires: that is its purpose.
        assert any(case.silent_at for case in cases)
        assert any(case.resolved_at for case in cases)
