"""Targets from file_sd files: Prometheus' form, re-read on change, a broken file keeps its last good targets."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.config import ConfigError
from exporter.config import ExporterConfig
from exporter.file_sd import TargetFiles
from exporter.targets import of_config, of_file, unique

Write = Callable[[str, str], Path]
CONFIG = ExporterConfig.model_validate({"file_sd": [{"files": ["x.yaml"], "timeout": "2s"}]})
GROUP = [{"targets": ["http://a:1/mcp"], "labels": {"agent": "planner-9", "agent_type": "planner"}}]


def config(*patterns: Path, **more: Any) -> ExporterConfig:
    return ExporterConfig.model_validate({"file_sd": [{"files": [str(pattern) for pattern in patterns]}], **more})


def read(name: str, content: str) -> list[Any]:
    return of_file(Path(name), content.encode(), CONFIG.file_sd[0], CONFIG)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.json", json.dumps(GROUP)),
        ("x.json", json.dumps(GROUP, indent="\t")),
        ("x.yaml", "- targets: ['http://a:1/mcp']\n  labels: {agent: planner-9, agent_type: planner, team: blue}\n"),
        ("x.yml", json.dumps(GROUP)),
    ],
)
def test_file_is_read_in_prometheus_form(name: str, content: str) -> None:
    (found,) = read(name, content)
    assert (found.name, found.agent_type, found.url, found.timeout) == ("planner-9", "planner", "http://a:1/mcp", 2)


def test_host_and_port_become_a_url_and_a_name() -> None:
    found = read("x.json", json.dumps([{"targets": ["a:1", "b:2"], "labels": {"agent_type": "planner"}}]))
    assert [(target.name, target.url) for target in found] == [("a:1", "http://a:1/mcp"), ("b:2", "http://b:2/mcp")]


@pytest.mark.parametrize("content", ["", "[]", "null"])
def test_empty_file_names_nobody(content: str) -> None:
    assert read("x.yaml", content) == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "x.yaml:2: not valid YAML"),
        ("[" * 100_000, "x.yaml:1: nested deeper than 50 levels"),
        ("- targets: [a:1]\n  labels: !!python/object:os.system {}", "x.yaml:1: not valid YAML"),
        ("- targets: [0001-01-01T00:00:00+05:00]\n  labels: {agent_type: planner}", "x.yaml:1: "),
        ("- targets: [" + "9" * 5000 + "]", "x.yaml:1: "),
        ("7", "x.yaml:1: Input should be a valid list"),
        ("- targets: [a:1]", "x.yaml:1: 0.labels: Field required (add it)"),
        ("- {targets: [a:1], labels: {}}", "x.yaml:1: 0.labels.agent_type: Field required"),
        (
            "- {targets: [a:1], labels: {agent_type: poet}}",
            "0.labels.agent_type: unknown agent_type 'poet' (use one of orchestrator",
        ),
        ("- {targets: [a:1], labels: {agent_type: planner, agent: 'a b'}}", "0.labels.agent"),
        ("- {targets: [a:1, b:1], labels: {agent_type: planner, agent: x}}", "names 2 targets"),
        ("- {targets: ['ftp://a'], labels: {agent_type: planner}}", "0.targets.0: 'ftp://a' is no target"),
        (f"- {{targets: ['a:1/{'é' * 130}'], labels: {{agent_type: planner}}}}", "more than 250 bytes is no name"),
        ("- {targets: ['a b:1'], labels: {agent_type: planner}}", "0.targets.0: 'a b:1' is no target"),
    ],
)
def test_broken_file_says_what_is_wrong(content: str, why: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(why)):
        read("x.yaml", content)


def test_every_problem_of_a_file_is_told_with_its_line() -> None:
    content = """[
\t{"targets": ["a:1"], "labels": {"agent_type": "poet"}},
\t{"targets": ["ftp://b", "c:1"],
\t "labels": {"agent": "x", "agent_type": "planner"}}
]"""
    with pytest.raises(ConfigError) as caught:
        read("x.json", content)
    told = [(problem.line, problem.field) for problem in caught.value.problems]
    assert told == [(2, "0.labels.agent_type"), (3, "1.targets.0"), (4, "1.labels.agent")]


def test_broken_json_is_told_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"x\.json:2: not JSON"):
        read("x.json", "[\n{]")


def test_changed_file_is_read_again(write: Write, tmp_path: Path) -> None:
    write("a.json", json.dumps(GROUP))
    files = TargetFiles(config(tmp_path / "*.json"))
    assert [target.name for target in files.scan()] == ["planner-9"]
    write("a.json", json.dumps([{**GROUP[0], "labels": {"agent": "planner-10", "agent_type": "planner"}}]))
    assert [target.name for target in files.scan()] == ["planner-10"]


def test_unchanged_file_gives_the_very_same_targets(write: Write, tmp_path: Path) -> None:
    write("a.json", json.dumps(GROUP))
    files = TargetFiles(config(tmp_path / "*.json"))
    assert files.scan()[0] is files.scan()[0]


def test_new_file_counts_and_a_removed_one_no_longer(write: Write, tmp_path: Path) -> None:
    files = TargetFiles(config(tmp_path / "*.json"))
    assert files.scan() == []
    path = write("a.json", json.dumps(GROUP))
    assert len(files.scan()) == 1
    path.unlink()
    assert files.scan() == []


def test_broken_file_keeps_its_last_good_targets_and_shows(write: Write, tmp_path: Path) -> None:
    pattern = tmp_path / "*.json"
    write("a.json", json.dumps(GROUP))
    files = TargetFiles(config(pattern))
    before = files.scan()
    assert files.states() == {str(pattern): True}
    write("a.json", "[{")
    assert files.scan() == before
    assert files.states() == {str(pattern): False}
    write("a.json", json.dumps(GROUP))
    assert files.scan() == before
    assert files.states() == {str(pattern): True}


def test_broken_file_is_told_to_the_log_once(write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write("a.json", "[{")
    files = TargetFiles(config(tmp_path / "*.json"))
    files.scan()
    files.scan()
    (record,) = [record for record in caplog.records if "cannot be used" in record.message]
    assert vars(record)["file"] == str(tmp_path / "a.json")


def test_last_good_targets_outlive_a_reload(write: Write, tmp_path: Path) -> None:
    write("a.json", json.dumps(GROUP))
    first = TargetFiles(config(tmp_path / "*.json"))
    before = first.scan()
    write("a.json", "[{")
    assert TargetFiles(config(tmp_path / "*.json"), first).scan() == before


def test_reload_reads_files_with_the_new_settings(write: Write, tmp_path: Path) -> None:
    write("a.json", json.dumps(GROUP))
    first = TargetFiles(config(tmp_path / "*.json"))
    first.scan()
    (target,) = TargetFiles(config(tmp_path / "*.json", defaults={"timeout": "1s"}), first).scan()
    assert target.timeout == 1


def test_pattern_without_files_is_no_problem(tmp_path: Path) -> None:
    pattern = tmp_path / "nowhere" / "*.json"
    files = TargetFiles(config(pattern))
    assert files.scan() == []
    assert files.states() == {str(pattern): True}


def test_unreadable_file_is_a_problem_of_its_own(write: Write, tmp_path: Path) -> None:
    write("good.json", json.dumps(GROUP))
    (tmp_path / "broken.json").symlink_to(tmp_path / "gone")
    files = TargetFiles(config(tmp_path / "*.json"))
    assert len(files.scan()) == 1
    assert files.states() == {str(tmp_path / "*.json"): False}


def test_short_file_that_multiplies_by_aliases_is_refused() -> None:
    group = "- targets: &many [" + "a:1," * 1000 + "]\n  labels: {agent_type: planner}\n"
    with pytest.raises(ConfigError, match="1001000 targets, more than 200000"):
        read("x.yaml", group + "- {targets: *many, labels: {agent_type: planner}}\n" * 1000)


def test_pipe_is_not_waited_for(write: Write, tmp_path: Path) -> None:
    write("good.json", json.dumps(GROUP))
    os.mkfifo(tmp_path / "pipe.json")
    files = TargetFiles(config(tmp_path / "*.json"))
    assert [target.name for target in files.scan()] == ["planner-9"]
    (problem,) = files.problems()
    assert (problem.file, problem.message) == (str(tmp_path / "pipe.json"), "not a regular file")


def test_folder_that_fits_the_pattern_is_a_problem_of_its_own(write: Write, tmp_path: Path) -> None:
    write("good.json", json.dumps(GROUP))
    (tmp_path / "folder.json").mkdir()
    files = TargetFiles(config(tmp_path / "*.json"))
    assert len(files.scan()) == 1
    assert [problem.message for problem in files.problems()] == ["not a regular file"]


def test_file_that_is_not_utf_8_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"- targets: ['\xff:1']")
    files = TargetFiles(config(tmp_path / "*.yaml"))
    assert files.scan() == []
    assert len(files.problems()) == 1


def test_first_agent_of_a_name_counts() -> None:
    agents = [{"name": name, "type": "planner", "url": f"http://{host}:1"} for name, host in ("ab", "cd", "ae")]
    targets = of_config(ExporterConfig.model_validate({"agents": agents}))
    kept, doubles = unique(targets)
    assert [target.url for target in kept] == ["http://b:1", "http://d:1"]
    assert [target.url for target in doubles] == ["http://e:1"]
