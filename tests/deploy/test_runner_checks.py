"""Configurations are checked before anything is started, stopped or reloaded."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.native import process
from deploy.native.runner import RunError, Runner, Service
from tests.deploy.programs import service
from tests.deploy.test_runner import body, pid

CHECK = (
    "import pathlib, sys; text = pathlib.Path(sys.argv[1]).read_text(); sys.exit('line 1: bad' if 'bad' in text else 0)"
)


def checked(folder: Path, name: str = "service", **changes: Any) -> Service:
    made = service(folder, name, **changes)
    return replace(made, check=(sys.executable, "-c", CHECK, str(made.config[0])))


def test_refused_configuration_keeps_even_a_service_with_new_code_running(tmp_path: Path, runner: Runner) -> None:
    wanted = checked(tmp_path)
    runner.up([wanted])
    before = pid(runner)
    (tmp_path / "service.conf").write_text("bad", encoding="utf-8")
    (tmp_path / "service.py").write_text("raise SystemExit", encoding="utf-8")
    with pytest.raises(RunError, match=r"service refuses its configuration:\n    line 1: bad\nNothing was changed"):
        runner.up([wanted])
    assert (pid(runner), body(wanted.ready)) == (before, "first")


def test_nothing_is_started_or_reloaded_while_one_configuration_is_refused(tmp_path: Path, runner: Runner) -> None:
    first, second = checked(tmp_path, "first"), checked(tmp_path, "second")
    runner.up([first])
    (tmp_path / "first.conf").write_text("changed", encoding="utf-8")
    (tmp_path / "second.conf").write_text("bad", encoding="utf-8")
    with pytest.raises(RunError, match="second refuses"):
        runner.up([first, second])
    assert body(first.ready) == "first"
    assert list(process.recall(runner.records)) == ["first"]


def test_reload_checks_before_it_reloads(tmp_path: Path, runner: Runner) -> None:
    first, second = checked(tmp_path, "first"), checked(tmp_path, "second")
    runner.up([first, second])
    (tmp_path / "first.conf").write_text("changed", encoding="utf-8")
    (tmp_path / "second.conf").write_text("bad", encoding="utf-8")
    with pytest.raises(RunError, match="second refuses"):
        runner.reload([first, second])
    assert body(first.ready) == "first"


def test_refusals_are_told_in_the_users_terms(tmp_path: Path) -> None:
    runner = Runner(tmp_path / "state", in_users_terms=lambda text: text.replace("line 1", "mine.yaml:1"))
    wanted = checked(tmp_path)
    (tmp_path / "service.conf").write_text("bad", encoding="utf-8")
    with pytest.raises(RunError, match=r"mine\.yaml:1: bad"):
        runner.up([wanted])


def test_warnings_of_an_accepted_configuration_are_told_in_the_users_terms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runner = Runner(tmp_path / "state", in_users_terms=lambda text: text.replace("line 1", "mine.yaml:1"))
    wanted = service(tmp_path)
    try:
        runner.up([replace(wanted, check=(sys.executable, "-c", "print('warning: line 1: odd\\ngood')"))])
    finally:
        runner.down()
    said = capsys.readouterr().out.splitlines()
    assert "warning: mine.yaml:1: odd" in said
    assert "good" not in said
