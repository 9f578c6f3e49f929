"""All generators run as one in a copy of the project: all of their files are new, or none is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ("contract", "rules", "alertmanager", "dashboards")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in (*PACKAGES, "docs"):
        shutil.copytree(name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "pictures"))
    return tmp_path


def generate(project: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "contract.generate", *options, *PACKAGES]
    environ = {**os.environ, "PYTHONPATH": str(project)}
    return subprocess.run(command, cwd=project, env=environ, capture_output=True, text=True, check=False)


def edit(file: Path, old: str, new: str) -> None:
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))


def texts(project: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in project.rglob("*") if file.suffix in (".yaml", ".yml", ".json", ".md")}


def test_what_is_committed_is_fresh(project: Path) -> None:
    assert generate(project, "--check").stdout == ""


def test_a_mistake_in_one_source_leaves_every_file_as_it_was(project: Path) -> None:
    edit(project / "rules/policies/security.yaml", "above: 10\n", "above: 40\n")
    edit(project / "alertmanager/receivers.yaml", "fallback: ", "fallbak: ")
    edit(project / "rules/escalation.yaml", "after: ", "aftr: ")
    before = texts(project)
    done = generate(project)
    assert done.returncode == 2
    assert "receivers.yaml" in done.stderr
    assert "escalation.yaml" in done.stderr
    assert texts(project) == before


def test_a_mistake_that_several_generators_find_is_told_once(project: Path) -> None:
    edit(project / "rules/policies/security.yaml", "severity: critical", "severity: dire")
    done = generate(project)
    assert done.returncode == 2
    assert done.stderr.endswith("\n1 problem; nothing was changed\n")


def test_rules_and_dashboards_of_one_change_come_together(project: Path) -> None:
    edit(project / "rules/policies/security.yaml", "above: 10\n", "above: 40\n")
    done = generate(project)
    assert (done.returncode, done.stderr) == (0, "")
    assert "wrote rules/generated/security_breach.yaml" in done.stdout
    assert "wrote dashboards/generated/security.json" in done.stdout
    assert generate(project, "--check").returncode == 0
