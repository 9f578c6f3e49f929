"""Mistakes in policy files are all reported at once, with file, line, field and mend."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from alertmanager.__main__ import main as alertmanager_main
from rules.__main__ import main

AGENTS = re.sub(
    r"    inhibits:\n(      .*\n)+", "", Path("rules/policies/agents.yaml").read_text().split("  agent_type_down:")[0]
)
GENERATED = Path("rules/generated")


def run(tmp_path: Path, text: str, *extra: str) -> int:
    (tmp_path / "policies").mkdir(exist_ok=True)
    (tmp_path / "policies" / "mine.yaml").write_text(text)
    return main(["--policies", str(tmp_path / "policies"), "--out", str(tmp_path / "out"), *extra])


def problems(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> list[str]:
    with pytest.raises(SystemExit) as ended:
        run(tmp_path, text)
    assert ended.value.code == 2
    assert not (tmp_path / "out").exists()
    return capsys.readouterr().err.replace(f"{tmp_path}/policies/", "").splitlines()[:-1]


def test_committed_rules_and_unit_tests_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_generating_twice_changes_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        assert main(["--out", str(tmp_path)]) == 0
    for file in GENERATED.rglob("*.yaml"):
        assert (tmp_path / file.relative_to(GENERATED)).read_bytes() == file.read_bytes()


def test_check_finds_a_changed_policy_and_a_stale_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, AGENTS)
    shutil.copy(tmp_path / "out" / "agent_down.yaml", tmp_path / "out" / "old.yaml")
    assert run(tmp_path, AGENTS.replace("for: 2m", "for: 3m"), "--check") == 1
    shown = capsys.readouterr().out
    assert "+    for: 3m" in shown
    assert f"stale: {tmp_path}/out/old.yaml" in shown
    assert "for: 2m" in (tmp_path / "out" / "agent_down.yaml").read_text()


def test_generating_removes_a_stale_file(tmp_path: Path) -> None:
    run(tmp_path, AGENTS)
    shutil.copy(tmp_path / "out" / "agent_down.yaml", tmp_path / "out" / "old.yaml")
    run(tmp_path, AGENTS)
    assert not (tmp_path / "out" / "old.yaml").exists()


def test_rules_and_routes_in_one_folder_leave_each_other_and_everything_else_alone(tmp_path: Path) -> None:
    out = ["--out", str(tmp_path)]
    for name in ("notes.txt", "tests/mine.yaml", "kubernetes/mine.yaml", "src/mine.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine\n")
    assert main(out) == alertmanager_main(out) == 0
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert len(before) > 100
    for generate in (main, alertmanager_main):
        assert generate(out) == generate([*out, "--check"]) == 0
        assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("generate", [main, alertmanager_main])
def test_an_environment_asks_for_a_folder_of_its_own(
    generate: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        generate(["--environment", "rules/environments/staging.yaml"])
    assert ended.value.code == 2
    assert "--environment asks for --out" in capsys.readouterr().err


def test_every_mistake_is_reported_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = problems(
        tmp_path,
        capsys,
        """\
component: agents
policies:
  first:
    severity: catastrophic
    channels: [slack]
    escalation: standard
    condition: {threshold: {of: mcp_agent_up, equal_to: 0, above: 1}}
    for: 120
    sumary: typo
    summary: s
    description: d
  second:
    severity: major
    channels: [slack]
    escalation: standard
    condition: {}
    summary: s
    description: ""
    tests:
      one:
        series: {mcp_agent_up: 0x20}
        silent_at: [1m]
""",
    )
    assert [problem.split(": ")[:2] for problem in found] == [
        ["mine.yaml:4", "policies.first.severity"],
        ["mine.yaml:7", "policies.first.condition.threshold"],
        ["mine.yaml:8", "policies.first.for"],
        ["mine.yaml:9", "policies.first.sumary"],
        ["mine.yaml:16", "policies.second.condition"],
        ["mine.yaml:18", "policies.second.description"],
        ["mine.yaml:21", "policies.second.tests.one.series.mcp_agent_up"],
    ]
    assert "compare exactly once" in found[1]
    assert "500ms, 15s, 2m, 1h30m" in found[2]
    assert "did you mean summary?" in found[3]
    assert "give one of threshold, count, ratio" in found[4]
    assert "put it in quotes" in found[6]


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ('{series: {a: "1"}, fires_at: [1m]}', "fires_at and alerts go together"),
        ('{series: {a: "1"}}', "the case expects nothing"),
        ('{series: {a: "1"}, silent_at: [1m], resolved_at: [2m]}', "what never fires cannot resolve"),
    ],
)
def test_a_case_that_shows_nothing_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str, reason: str
) -> None:
    text = AGENTS.split("    tests:")[0] + f"    tests:\n      one: {case}\n"
    [problem] = problems(tmp_path, capsys, text)
    assert reason in problem


def test_two_policies_of_one_name_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "agents.yaml").write_text(AGENTS)
    [problem] = problems(tmp_path, capsys, AGENTS)
    assert problem == (
        "mine.yaml:5: policies.agent_down: two policies of one name (agents.yaml has it already; choose another name)"
    )


def test_an_empty_folder_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--policies", str(tmp_path), "--out", str(tmp_path / "out")])
    assert "there is no policy file here" in capsys.readouterr().err


def test_the_command_ends_with_code_2_and_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rules", "--links", str(tmp_path / "none.yaml"), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "none.yaml:1: the file does not exist" in done.stderr
    assert "Traceback" not in done.stderr
