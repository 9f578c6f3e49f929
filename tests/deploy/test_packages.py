"""Programs unpacked from Debian packages, and what a machine without Debian is told."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.native import apt, packages
from tests.tools import OLD_ENDS, tool


def program_on_path(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    return program


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without Debian and with an empty PATH, which is returned."""
    path = tmp_path / "bin"
    path.mkdir()
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setenv("LOOKOUT_PACKAGES", str(tmp_path / "packages"))
    return path


@pytest.mark.parametrize("name", packages.PROGRAMS)
def test_every_program_of_the_new_release_runs(name: str) -> None:
    assert packages.version(tool(name), packages.PROGRAMS[name].version_flag)


@pytest.mark.parametrize("name", OLD_ENDS)
def test_every_program_of_the_old_end_runs(name: str) -> None:
    assert "version" in packages.version(tool(name, "old"))


@pytest.mark.skipif(apt.mirror() is None, reason="releases are told apart where Debian packages are to be had")
@pytest.mark.parametrize(
    ("name", "release", "expected"),
    [
        ("promtool", "new", "version 3."),
        ("promtool", "old", "version 2.42"),
        ("amtool", "new", "version 0.3"),
        ("amtool", "old", "version 0.25"),
    ],
)
def test_releases_are_the_two_ends_that_are_supported(name: str, release: packages.Release, expected: str) -> None:
    assert expected in packages.version(tool(name, release))


@pytest.mark.parametrize("release", ["new", "old"])
def test_unpacked_alertmanager_finds_its_default_templates(tmp_path: Path, release: packages.Release) -> None:
    (tmp_path / "am.yml").write_text("route: {receiver: a}\nreceivers: [{name: a}]\n", encoding="utf-8")
    command = [
        str(tool("alertmanager", release)),
        *(
            "--config.file=am.yml",
            "--storage.path=data",
            "--web.listen-address=127.0.0.1:0",
            "--cluster.listen-address=",
        ),
    ]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        said = ""
        for line in process.stderr or ():
            said += line
            if "Listening on" in line or "failed to parse templates" in line:
                break
        process.terminate()
    assert "Listening on" in said, said


def test_program_already_unpacked_is_not_fetched_again(tmp_path: Path, elsewhere: Path) -> None:
    unpacked = program_on_path(tmp_path / "packages/new/promtool/bin", "promtool", "echo promtool, version 3.5")
    assert packages.locate("promtool") == unpacked


def test_package_unpacked_before_the_program_was_wanted_is_fetched_again(tmp_path: Path, elsewhere: Path) -> None:
    program_on_path(tmp_path / "packages/new/victoria-metrics/bin", "vmalert", "exit 0")
    packages.fetch(["vmalert"])
    with pytest.raises(packages.MissingProgramError, match="victoria-metrics is not on the PATH"):
        packages.fetch(["vmalert", "victoria-metrics"])


def test_parallel_fetches_of_what_is_there_do_nothing_and_do_not_hang(tmp_path: Path, elsewhere: Path) -> None:
    program_on_path(tmp_path / "packages/new/promtool/bin", "promtool", "exit 0")
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: packages.fetch(["promtool"]), range(8), timeout=20))
    assert done == [None] * 8


def test_without_debian_the_path_is_searched(elsewhere: Path) -> None:
    program = program_on_path(elsewhere, "prometheus", "echo prometheus, version 3.6.0")
    assert packages.locate("prometheus") == program


def test_without_debian_and_program_the_message_says_how_to_get_it(elsewhere: Path) -> None:
    with pytest.raises(packages.MissingProgramError, match=r"alertmanager is not on the PATH.*Install Docker"):
        packages.locate("alertmanager")


def test_program_of_the_path_is_used_when_recent_enough(elsewhere: Path) -> None:
    program = program_on_path(elsewhere, "prometheus", "echo 'prometheus, version 2.53.1 (branch: HEAD)'")
    assert packages.locate_for_use("prometheus") == program


def test_program_of_the_path_that_is_too_old_is_not_used(tmp_path: Path, elsewhere: Path) -> None:
    program_on_path(elsewhere, "prometheus", "echo 'prometheus, version 2.15.2 (branch: HEAD)'")
    unpacked = program_on_path(tmp_path / "packages/new/prometheus/bin", "prometheus", "echo prometheus, version 3.5")
    assert packages.locate_for_use("prometheus") == unpacked


def test_program_that_fails_to_start_is_an_error_with_its_words(tmp_path: Path) -> None:
    program = program_on_path(tmp_path, "prometheus", "echo cannot open library >&2; exit 127")
    with pytest.raises(packages.MissingProgramError, match="cannot open library"):
        packages.version(program)


def test_command_line_names_an_unknown_program(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        packages.main(["grafana"])
    assert ended.value.code == 2
    assert "no such program: grafana" in capsys.readouterr().err


def test_command_line_says_what_is_missing_and_fails(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert packages.main(["promtool"]) == 1
    assert "promtool is not on the PATH" in capsys.readouterr().err


def test_tools_are_offered_where_documentation_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "my programs" / "promtool"
    mine.parent.mkdir()
    mine.write_text('#!/bin/sh\necho "promtool, version 3.5.0 $*"\n', encoding="utf-8")
    mine.chmod(0o755)
    monkeypatch.setenv("PATH", str(mine.parent), prepend=":")
    packages.offer(["promtool"], tmp_path / "bin")
    said = subprocess.run([tmp_path / "bin" / "promtool", "a b"], capture_output=True, text=True, check=True).stdout
    assert said == "promtool, version 3.5.0 a b\n"
