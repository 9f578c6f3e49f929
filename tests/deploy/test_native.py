"""The native command line, from outside: what it prints, what it refuses."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from contract.ports import ENDPOINTS
from deploy.native.check import check, commands
from deploy.native.layout import ROOT
from deploy.native.runner import RunError
from deploy.urls import PAGES, summary
from tests.checkout import shipped


def native(*arguments: str, state: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.native", *arguments]
    variables = {**os.environ, "LOOKOUT_STATE": str(state), **environ}
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120)


def without_warnings(text: str) -> list[str]:
    """Return the lines that say no more than which files are valid; a user's own files may be questionable."""
    return [line for line in text.splitlines() if not line.startswith("warning: ")]


def test_down_where_nothing_runs_says_so(tmp_path: Path) -> None:
    result = native("down", state=tmp_path)
    assert (result.returncode, result.stdout) == (0, "nothing was running\n")


def test_status_lists_every_service_and_fails_where_one_does_not_run(tmp_path: Path) -> None:
    result = native("status", state=tmp_path)
    lines = result.stdout.splitlines()
    assert {"idp", "sink", "agents", "sidecar", "engine", "exporter", "prometheus", "grafana"} <= {
        line.split()[0] for line in lines
    }
    assert all("not started" in line for line in lines)
    assert result.returncode == 1


def test_port_variable_that_is_no_port_is_named_without_a_traceback(tmp_path: Path) -> None:
    result = native("up", state=tmp_path, LOOKOUT_SINK_PORT="ninety")
    assert result.returncode == 1
    assert "LOOKOUT_SINK_PORT='ninety' is not a port number" in result.stderr
    assert "Traceback" not in result.stderr


def test_check_accepts_the_committed_configuration(tmp_path: Path) -> None:
    result = native("check", state=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert without_warnings(result.stdout) == [f"{name}: valid" for name, _ in commands(tmp_path)]


def test_unknown_command_is_refused(tmp_path: Path) -> None:
    assert native("explode", state=tmp_path).returncode == 2


def test_summary_names_every_page_and_the_next_steps() -> None:
    text = summary(environ={})
    assert all(f"http://localhost:{ENDPOINTS[name].port}{path}" in text for _, name, path in PAGES)
    assert "make demo-break FAULT=agent-down" in text
    assert "make down" in text
    assert "evaluated for the first time within a minute" in text


def test_summary_follows_moved_ports() -> None:
    assert "http://localhost:20001/health" in summary(environ={"LOOKOUT_EXPORTER_PORT": "20001"})


def test_summary_leaves_out_what_does_not_run() -> None:
    assert "Grafana" not in summary(frozenset({"grafana"}), environ={})


NO_PAGE = {"sink_smtp", "agents", "otlp", "loki", "tempo"}
"""What a person does not look at, or looks at through Grafana."""


@pytest.mark.parametrize("endpoint", [name for name in ENDPOINTS if name not in NO_PAGE])
def test_every_endpoint_has_a_page_in_the_summary(endpoint: str) -> None:
    assert endpoint in {name for _, name, _ in PAGES}


def test_status_whose_reader_has_seen_enough_ends_quietly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deploy.native", "status"]
    environ = {**os.environ, "LOOKOUT_STATE": str(tmp_path)}
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        command, cwd=ROOT, env=environ, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(writer)
    assert (result.returncode, result.stderr) == (0, "")


def test_check_config_looks_at_the_files_of_our_own_services(tmp_path: Path) -> None:
    result = native("check-config", state=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert without_warnings(result.stdout) == ["exporter.yaml: valid", "sidecar.yaml: valid", "desk.yaml: valid"]


@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("exporter/exporter.yaml", "defaults:"),
        ("auth_sidecar/sidecar.yaml", "roles_file:"),
        ("incident_desk/desk.yaml", "webhook:"),
        ("rules/escalation.yaml", "escalations:"),
    ],
)
def test_check_names_the_file_of_the_user_with_the_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, key: str
) -> None:
    root = tmp_path / "repository"
    for folder in ("exporter", "auth_sidecar", "incident_desk", "rules"):
        for source in (ROOT / folder).glob("*.yaml"):
            (root / folder).mkdir(parents=True, exist_ok=True)
            text = shipped(f"{folder}/{source.name}").read_text(encoding="utf-8")
            (root / folder / source.name).write_text(text, encoding="utf-8")
    text = (root / file).read_text(encoding="utf-8")
    line = text[: text.index(f"\n{key}") + 1].count("\n") + 1
    (root / file).write_text(text.replace(f"\n{key}", f"\nmis_{key}"), encoding="utf-8")
    with pytest.raises(RunError, match="refused: "):
        check(root, only_ours=True)
    said = capsys.readouterr().out
    assert f"{file}:{line}: mis_{key}" in said
    assert "lookout-check-" not in said
