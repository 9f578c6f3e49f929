"""Processes told apart for good, remembered and ended."""

import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.native import process

WAITS = "import time; print('waits', flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + WAITS
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}]); {STUBBORN}"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[process.Record]]:
    """Records of what a test started; ended afterwards."""
    records: list[process.Record] = []
    yield records
    for record in records:
        process.stop(record, patience_seconds=0.1)


def start(tmp_path: Path, code: str, started: list[process.Record]) -> process.Record:
    """Start Python code and wait until it speaks."""
    log = tmp_path / "log" / "service.log"
    command = (sys.executable, "-c", code)
    record = process.start("service", command, log=log, records=tmp_path / "run", environ={}, code="c", config="d")
    started.append(record)
    while "waits" not in process.last_lines(log):
        assert record.is_running, process.last_lines(log)
    return record


def test_started_process_is_remembered_whole(tmp_path: Path, started: list[process.Record]) -> None:
    record = start(tmp_path, WAITS, started)
    assert process.recall(tmp_path / "run") == {"service": record}
    assert record.is_running


def test_stopped_process_is_not_running(tmp_path: Path, started: list[process.Record]) -> None:
    record = start(tmp_path, WAITS, started)
    assert process.stop(record) is False
    assert not record.is_running


def test_same_pid_with_another_start_is_another_process(tmp_path: Path, started: list[process.Record]) -> None:
    record = start(tmp_path, WAITS, started)
    assert not replace(record, identity="another").is_running


def test_ended_child_that_nobody_waited_for_is_not_running() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    record = process.Record("child", child.pid, process.identity(child.pid) or "", (), "", "")
    assert process.wait_for_end(record, 20)
    child.returncode = 0


def test_pid_that_does_not_exist_has_no_identity() -> None:
    assert process.identity(2**22 + 1) is None


def test_process_that_ignores_the_polite_signal_is_killed_with_its_session(
    tmp_path: Path, started: list[process.Record]
) -> None:
    record = start(tmp_path, PARENT, started)
    assert process.stop(record, patience_seconds=0.3) is True
    assert not record.is_running
    members = subprocess.run(["ps", "-o", "pid=,stat=", "-s", str(record.pid)], capture_output=True, text=True)
    assert not [line for line in members.stdout.splitlines() if "Z" not in line]


def test_start_time_as_ps_tells_it_names_a_process_too(tmp_path: Path, started: list[process.Record]) -> None:
    record = start(tmp_path, WAITS, started)
    told = process._identity_by_ps(record.pid)
    assert told
    assert process._identity_by_ps(record.pid) == told


def test_large_log_is_put_aside_at_the_start(tmp_path: Path, started: list[process.Record]) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "service.log").write_bytes(b"x" * (process.LOG_KEPT_BYTES + 1))
    start(tmp_path, WAITS, started)
    assert (tmp_path / "log" / "service.old.log").exists()
    assert process.last_lines(tmp_path / "log" / "service.log") == "waits"


def test_last_lines_are_the_last(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text("".join(f"line {n}\n" for n in range(40)), encoding="utf-8")
    assert process.last_lines(tmp_path / "x.log", 2) == "line 38\nline 39"


def test_missing_log_is_said_to_be_missing(tmp_path: Path) -> None:
    assert process.last_lines(tmp_path / "x.log") == "(it wrote no log)"


def test_last_lines_begin_where_asked_and_at_the_start_of_a_log_that_became_shorter(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    log.write_text("before\nsince\n", encoding="utf-8")
    assert process.last_lines(log, since=7) == "since"
    assert process.last_lines(log, since=1000) == "before\nsince"


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


HEADLESS = """
import ctypes, platform, sys, threading

threading.Thread(target=sys.stdin.read).start()
print("here", flush=True)
ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[platform.machine()], 0)  # ends this thread only
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="needs the number of a system call")
def test_process_whose_first_thread_has_ended_runs_until_the_others_have_too() -> None:
    command = [sys.executable, "-c", HEADLESS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout
        started.stdout.readline()
        state = Path(f"/proc/{started.pid}/stat")
        wait_until(lambda: state.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z")
        assert process.identity(started.pid)
        started.kill()
        wait_until(lambda: process.identity(started.pid) is None)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"name": 1}', "\x00"])
def test_a_record_that_cannot_be_read_is_said_and_passed_over(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sink.json").write_text(text)
    assert process.recall(tmp_path) == {}
    assert "sink.json cannot be read" in capsys.readouterr().err


def test_a_record_of_a_later_version_is_read_by_what_is_known_of_it(tmp_path: Path) -> None:
    known = {"name": "sink", "pid": 1, "identity": "x", "command": ["a"], "code": "", "config": "", "more": 1}
    (tmp_path / "sink.json").write_text(json.dumps(known))
    assert process.recall(tmp_path)["sink"].command == ("a",)
