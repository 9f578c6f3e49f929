"""The native runner with small real services: started once, reloaded, ended, and nobody else harmed."""

import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from contract.ports import free_port
from deploy.native import process
from deploy.native.runner import RunError, Runner
from tests.deploy.programs import service


def pid(runner: Runner, name: str = "service") -> int:
    return process.recall(runner.records)[name].pid


def body(url: str) -> str:
    with urlopen(url, timeout=5) as answer:  # noqa: S310
        return str(answer.read().decode())


def test_up_starts_and_waits_until_ready(tmp_path: Path, runner: Runner) -> None:
    wanted = service(tmp_path)
    runner.up([wanted])
    assert body(wanted.ready) == "first"
    assert runner.status([wanted]) == [("service", "ready", wanted.ready)]


def test_up_twice_keeps_the_running_process(tmp_path: Path, runner: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = service(tmp_path)
    runner.up([wanted])
    before = pid(runner)
    runner.up([wanted])
    assert pid(runner) == before
    assert f"already running (pid {before})" in capsys.readouterr().out


def test_parallel_ups_start_one_process(tmp_path: Path, runner: Runner) -> None:
    wanted = service(tmp_path)

    def up(_: int) -> int:
        another = Runner(tmp_path / "state", ready_within_seconds=20)
        with another.locked():
            another.up([wanted])
        return pid(another)

    with ThreadPoolExecutor(3) as pool:
        assert len(set(pool.map(up, range(3), timeout=60))) == 1


def test_changed_configuration_is_reloaded_in_place(tmp_path: Path, runner: Runner) -> None:
    wanted = service(tmp_path)
    runner.up([wanted])
    before = pid(runner)
    (tmp_path / "service.conf").write_text("second", encoding="utf-8")
    runner.up([wanted])
    assert (pid(runner), body(wanted.ready)) == (before, "second")


def test_refused_configuration_is_reported_and_the_one_before_stays(tmp_path: Path, runner: Runner) -> None:
    wanted = service(tmp_path)
    runner.up([wanted])
    (tmp_path / "service.conf").write_text("bad", encoding="utf-8")
    with pytest.raises(RunError, match="keeps the one before: line 1: bad"):
        runner.up([wanted])
    assert body(wanted.ready) == "first"


def test_refused_configuration_is_tried_again_by_the_next_up(tmp_path: Path, runner: Runner) -> None:
    wanted = service(tmp_path)
    runner.up([wanted])
    (tmp_path / "service.conf").write_text("bad", encoding="utf-8")
    for _ in range(2):
        with pytest.raises(RunError, match="refuses its new configuration"):
            runner.up([wanted])


def test_changed_configuration_restarts_what_cannot_reload(tmp_path: Path, runner: Runner) -> None:
    wanted = service(tmp_path, reload=None)
    runner.up([wanted])
    before = pid(runner)
    (tmp_path / "service.conf").write_text("second", encoding="utf-8")
    runner.up([wanted])
    assert pid(runner) != before
    assert body(wanted.ready) == "second"


def test_changed_code_is_started_again(tmp_path: Path, runner: Runner) -> None:
    wanted = service(tmp_path)
    runner.up([wanted])
    before = pid(runner)
    program = tmp_path / "service.py"
    program.write_text(program.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    runner.up([wanted])
    assert pid(runner) != before


def test_changed_command_is_started_again(tmp_path: Path, runner: Runner) -> None:
    wanted = service(tmp_path)
    runner.up([wanted])
    before = pid(runner)
    runner.up([replace(wanted, command=(*wanted.command, "more"))])
    assert pid(runner) != before


@pytest.mark.parametrize("change", [{"environ": {"LOOKOUT_X": "1"}}, {"folder": Path("/")}])
def test_changed_environment_or_folder_is_started_again(tmp_path: Path, runner: Runner, change: dict[str, Any]) -> None:
    wanted = service(tmp_path)
    runner.up([wanted])
    before = pid(runner)
    runner.up([replace(wanted, **change)])
    assert pid(runner) != before


def test_process_that_ended_by_itself_is_started_again(tmp_path: Path, runner: Runner) -> None:
    wanted = service(tmp_path)
    runner.up([wanted])
    record = process.recall(runner.records)["service"]
    process.stop(record)
    assert runner.status([wanted])[0][1] == "ended by itself"
    runner.up([wanted])
    assert pid(runner) != record.pid


def test_service_that_dies_is_reported_with_the_end_of_its_log(tmp_path: Path, runner: Runner) -> None:
    with pytest.raises(RunError, match=r"service ended\. The end of .*service\.log:\n(.*\n)*.*it dies at once"):
        runner.up([service(tmp_path, ready="dies")])


def test_service_that_is_never_ready_is_reported_within_the_bound(tmp_path: Path, runner: Runner) -> None:
    impatient = Runner(tmp_path / "state", ready_within_seconds=1)
    with pytest.raises(RunError, match=r"is not ready after 1 s \(503\)"):
        impatient.up([service(tmp_path, ready="never")])


def test_program_that_does_not_exist_is_reported(tmp_path: Path, runner: Runner) -> None:
    with pytest.raises(RunError, match="service cannot be started"):
        runner.up([service(tmp_path, command=(str(tmp_path / "nothing"),))])


def test_every_port_in_use_is_named_with_its_variable_and_nothing_is_started(tmp_path: Path, runner: Runner) -> None:
    first, second = service(tmp_path, "first"), service(tmp_path, "second")
    with socket.create_server(("127.0.0.1", second.ports[0].number)), pytest.raises(RunError) as refused:
        runner.up([first, second])
    assert f"  {second.ports[0].number} (second): move it with LOOKOUT_SERVICE_PORT" in str(refused.value)
    assert str(first.ports[0].number) not in str(refused.value)
    assert process.recall(runner.records) == {}


def test_port_in_use_on_every_address_is_found(tmp_path: Path, runner: Runner) -> None:
    wanted = service(tmp_path)
    with socket.create_server(("", wanted.ports[0].number)), pytest.raises(RunError, match="in use"):
        runner.up([wanted])


def test_down_ends_everything_that_was_started(tmp_path: Path, runner: Runner) -> None:
    services = [service(tmp_path, "first"), service(tmp_path, "second")]
    runner.up(services)
    records = process.recall(runner.records).values()
    assert runner.down() == 2
    assert not any(record.is_running for record in records)
    assert process.recall(runner.records) == {}


def test_down_ends_the_last_started_first(tmp_path: Path, runner: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    runner.up([service(tmp_path, "first"), service(tmp_path, "second")])
    capsys.readouterr()
    runner.down()
    said = capsys.readouterr().out
    assert said.index("second: stopping") < said.index("first: stopping")


def test_down_without_anything_running_is_harmless(runner: Runner) -> None:
    assert runner.down() == 0


def test_down_never_ends_a_process_that_took_over_a_pid(tmp_path: Path, runner: Runner) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        record = process.Record("service", bystander.pid, "another boot/12345", ("gone",), "", "")
        process.remember(record, runner.records)
        assert runner.down() == 0
        assert bystander.poll() is None
        bystander.kill()


def test_process_outlives_the_one_that_started_it(tmp_path: Path, runner: Runner) -> None:
    port = free_port()
    script = f"""
from pathlib import Path
from deploy.native.runner import Runner
from tests.deploy.programs import service
import tests.deploy.programs as programs
programs.free_port = lambda: {port}
Runner(Path({str(tmp_path / "state")!r})).up([service(Path({str(tmp_path)!r}))])
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, start_new_session=True)
    assert body(f"http://127.0.0.1:{port}/") == "first"
    assert runner.down() == 1


def test_reload_reaches_running_services_only(tmp_path: Path, runner: Runner) -> None:
    runs, does_not = service(tmp_path, "runs"), service(tmp_path, "does_not")
    runner.up([runs])
    (tmp_path / "runs.conf").write_text("second", encoding="utf-8")
    assert runner.reload([runs, does_not]) == ["does_not"]
    assert body(runs.ready) == "second"
    assert runner.status([runs, does_not])[1][1] == "not started"


def test_proxy_of_the_environment_does_not_come_between(
    tmp_path: Path, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    runner.up([service(tmp_path)])


def test_configuration_within_the_folder_of_the_code_is_no_code(tmp_path: Path, runner: Runner) -> None:
    wanted = service(tmp_path)
    wanted = replace(wanted, code=(tmp_path / "code",))
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "program.py").touch()
    runner.up([wanted])
    before = pid(runner)
    for name in ("exporter.yaml", "data.json", "notes.md"):
        (tmp_path / "code" / name).write_text("changed", encoding="utf-8")
    runner.up([wanted])
    assert pid(runner) == before


def test_failed_start_shows_only_the_log_of_this_start(tmp_path: Path, runner: Runner) -> None:
    runner.logs.mkdir(parents=True)
    (runner.logs / "service.log").write_text("an error of yesterday\n", encoding="utf-8")
    with pytest.raises(RunError, match="it dies at once") as failed:
        runner.up([service(tmp_path, ready="dies")])
    assert "yesterday" not in str(failed.value)
