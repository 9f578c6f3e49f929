"""Ports are remembered while the stack runs, so that every shell finds it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.native import __main__ as command_line
from deploy.native import process
from deploy.native.layout import Layout
from deploy.native.ports import Ports, PortsError
from deploy.native.runner import Runner
from tests.deploy.test_native import native

MOVED = {"LOOKOUT_EXPORTER_PORT": "20001", "LOOKOUT_SINK_PORT": "20002"}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    """A state folder (as LOOKOUT_STATE names it) of a stack with moved ports of which one process runs."""
    state = tmp_path / "native"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as alive:
        record = process.Record("idp", alive.pid, process.identity(alive.pid) or "", ("idp",), "", "")
        process.remember(record, state / "run")
        Ports(state).remember(MOVED)
        yield tmp_path
        alive.kill()


def test_what_was_remembered_is_found_by_a_shell_that_says_nothing(tmp_path: Path) -> None:
    Ports(tmp_path).remember(MOVED)
    found = Ports(tmp_path).of_running({})
    assert found["LOOKOUT_EXPORTER_PORT"] == "20001"
    assert found["LOOKOUT_PROMETHEUS_PORT"] == "9090"


@pytest.mark.parametrize("environ", [MOVED, {"LOOKOUT_SINK_PORT": ""}, {"LOOKOUT_PROMETHEUS_PORT": "9090"}])
def test_environment_that_agrees_or_is_empty_is_no_contradiction(tmp_path: Path, environ: dict[str, str]) -> None:
    Ports(tmp_path).remember(MOVED)
    assert Ports(tmp_path).of_running(environ)["LOOKOUT_SINK_PORT"] == "20002"


def test_environment_that_contradicts_is_named_with_the_running_port(tmp_path: Path) -> None:
    Ports(tmp_path).remember(MOVED)
    with pytest.raises(PortsError, match=r"LOOKOUT_SINK_PORT=30000, but the running stack has 20002\n.*make down"):
        Ports(tmp_path).of_running({"LOOKOUT_SINK_PORT": "30000"})


def test_nothing_is_found_where_nothing_was_remembered(tmp_path: Path) -> None:
    assert Ports(tmp_path).of_running(MOVED) == {}


def test_status_asks_the_remembered_ports(running: Path) -> None:
    assert "http://127.0.0.1:20001/-/ready" in native("status", state=running).stdout


def test_heal_reaches_for_the_remembered_ports(running: Path) -> None:
    Ports(running / "native").remember({"LOOKOUT_DEMO_CONTROL_PORT": "1"})
    result = native("heal", state=running)
    assert result.returncode == 1
    assert "http://127.0.0.1:1 does not answer" in result.stderr


@pytest.mark.parametrize("command", ["status", "reload", "up", "heal"])
def test_other_ports_than_the_running_ones_are_refused(running: Path, command: str) -> None:
    result = native(command, state=running, LOOKOUT_EXPORTER_PORT="30000")
    assert result.returncode == 1
    assert "LOOKOUT_EXPORTER_PORT=30000, but the running stack has 20001" in result.stderr
    assert "make down" in result.stderr


def test_reload_keeps_the_ports_in_the_running_configuration_and_names_what_is_dead(running: Path) -> None:
    result = native("reload", state=running)
    assert result.returncode == 1
    assert "exporter: not running; `make up` starts it" in result.stderr
    copy = (running / "native/etc/alertmanager/alertmanager.yml").read_text(encoding="utf-8")
    assert "127.0.0.1:20002" in copy


def test_ports_of_a_stack_that_has_ended_bind_nobody(tmp_path: Path) -> None:
    Ports(tmp_path / "native").remember(MOVED)
    assert ":30000/" in native("status", state=tmp_path, LOOKOUT_EXPORTER_PORT="30000").stdout


def test_down_works_whatever_the_environment_says(running: Path) -> None:
    layout = Layout(running / "native")
    assert native("down", state=running, LOOKOUT_EXPORTER_PORT="30000").returncode == 0
    assert not Runner(layout.state).is_running()


def test_faults_are_passed_on_with_their_refusal(tmp_path: Path) -> None:
    result = native("break", "nonsense", state=tmp_path)
    assert result.returncode == 2
    assert "no fault 'nonsense'" in result.stderr
    assert set(command_line.FAULT_COMMANDS) == {"break", "heal"}
