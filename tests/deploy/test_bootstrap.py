"""The environment that make builds: made once, made again when broken, and plain words when it cannot be."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from deploy import bootstrap


def made_venv(folder: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder / "bin" / "python"


def test_missing_environment_does_not_work(tmp_path: Path) -> None:
    assert not bootstrap._works(tmp_path / "bin" / "python")


def test_environment_without_pip_does_not_work(tmp_path: Path) -> None:
    assert not bootstrap._works(made_venv(tmp_path / "venv"))


def test_running_environment_works() -> None:
    assert bootstrap._works(Path(sys.executable))


def test_python_without_venv_is_told_which_package_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert bootstrap.main(tmp_path / "venv") == 1
    said = capsys.readouterr().err
    assert "has no venv and no ensurepip" in said
    assert f"python3.{sys.version_info.minor}-venv" in said


def test_failed_installation_says_so_and_leaves_no_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path / "nothing")
    monkeypatch.setattr(bootstrap, "_works", lambda _python: True)
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").symlink_to(sys.executable)
    assert bootstrap.main(tmp_path / "venv") == 1
    assert "the installation failed" in capsys.readouterr().err
    assert not (tmp_path / "venv" / ".ready").exists()


@pytest.mark.parametrize(
    ("to_run", "extras", "marks"),
    [(True, "demo", {".ready-to-run"}), (False, "generate,demo,dev", {".ready-to-run", ".ready"})],
)
def test_what_runs_needs_less_than_what_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to_run: bool, extras: str, marks: set[str]
) -> None:
    monkeypatch.setattr(bootstrap, "_works", lambda _python: True)
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\n', encoding="utf-8")
    python.chmod(0o755)
    assert bootstrap.main(tmp_path / "venv", to_run=to_run) == 0
    assert (tmp_path / "called").read_text(encoding="utf-8").strip().endswith(f"[{extras}]")
    assert {file.name for file in (tmp_path / "venv").iterdir()} - {"bin"} == marks


def test_every_dependency_of_the_project_is_pinned() -> None:
    project = tomllib.loads((bootstrap.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    pinned = (bootstrap.ROOT / "constraints.txt").read_text(encoding="utf-8")
    names = {canonical(line.split("==")[0]) for line in pinned.splitlines() if "==" in line}
    assert {canonical(re.split(r"[<>=\[;~ ]", name)[0]) for name in wanted} <= names


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
