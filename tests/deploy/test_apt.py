"""The private apt: what it reads of the machine, and that it writes only below its own folder."""

import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.native import apt

needs_debian = pytest.mark.skipif(not (shutil.which("apt-get") and shutil.which("dpkg")), reason="needs apt and dpkg")

DEB822 = """\
# a comment
Types: deb-src
URIs: http://source.example/debian
Suites: bookworm

Types: deb
URIs: http://updates.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
Enabled: no
URIs: http://disabled.example/debian
Suites: trixie

Types: deb deb-src
URIs: http://mirror.example/debian http://second.example/debian
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


def folder_with(tmp_path: Path, name: str, text: str) -> Path:
    (tmp_path / "sources.list.d").mkdir(exist_ok=True)
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@needs_debian
@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("sources.list.d/debian.sources", DEB822, "http://mirror.example/debian"),
        ("sources.list", "deb http://mirror.example/debian bookworm main\n", "http://mirror.example/debian"),
        (
            "sources.list",
            "deb [arch=amd64 signed-by=/k.gpg] https://m.example/debian sid main\n",
            "https://m.example/debian",
        ),
        ("sources.list.d/x.list", "# deb http://no.example/debian bookworm main\n", None),
        ("sources.list.d/x.list", "deb-src http://no.example/debian bookworm main\n", None),
        ("sources.list.d/x.list", "deb cdrom:[Debian]/ bookworm main\n", None),
        ("sources.list.d/ubuntu.list", "deb http://archive.example/ubuntu noble main\n", None),
        ("sources.list.d/x.sources.disabled", DEB822, None),
        ("sources.list.d/other.list", "deb https://deb.example/node_20.x nodistro main\n", None),
    ],
)
def test_mirror_is_read_from_sources_of_either_style(
    tmp_path: Path, name: str, text: str, expected: str | None
) -> None:
    assert apt.mirror(folder_with(tmp_path, name, text)) == expected


def test_without_apt_there_is_no_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert apt.mirror(folder_with(tmp_path, "sources.list", "deb http://m.example/debian bookworm main\n")) is None


def settings(configuration: Path) -> str:
    command = ["apt-config", "dump"]
    environ = {"APT_CONFIG": str(configuration), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout


@needs_debian
def test_configuration_keeps_every_folder_private(tmp_path: Path) -> None:
    dump = settings(apt.configure(tmp_path, "forky", "http://mirror.example/debian"))
    for name in ("Dir::State", "Dir::State::lists", "Dir::State::status", "Dir::Cache", "Dir::Etc::sourcelist"):
        values = [line.split('"')[1] for line in dump.splitlines() if line.lower().startswith(f"{name.lower()} ")]
        assert values, name
        assert all(Path(value).is_relative_to(tmp_path) for value in values), (name, values)


@needs_debian
def test_hooks_of_the_machine_do_not_run(tmp_path: Path) -> None:
    dump = settings(apt.configure(tmp_path, "forky", "http://mirror.example/debian"))
    assert "Post-Invoke" not in dump
    assert "Pre-Invoke" not in dump


@needs_debian
def test_sources_name_the_wanted_suite_and_the_debian_keyring(tmp_path: Path) -> None:
    apt.configure(tmp_path, "forky", "http://mirror.example/debian")
    sources = (tmp_path / "sources.list").read_text(encoding="utf-8")
    assert sources == f"deb [signed-by={apt.KEYRING}] http://mirror.example/debian forky main\n"


@needs_debian
def test_configuration_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    file = apt.configure(tmp_path, "forky", "http://user:password@mirror.example/debian")
    assert file.stat().st_mode & 0o077 == 0


@needs_debian
def test_unreachable_mirror_is_an_error_that_says_so(tmp_path: Path) -> None:
    configuration = apt.configure(tmp_path / "apt", "forky", "file:///nowhere/debian")
    with pytest.raises(apt.AptError, match="is the Debian mirror reachable"):
        apt.download(configuration, ["prometheus"], tmp_path)


@needs_debian
def test_broken_package_is_an_error_that_names_it(tmp_path: Path) -> None:
    archive = tmp_path / "broken_1_all.deb"
    archive.write_text("no package", encoding="utf-8")
    with pytest.raises(apt.AptError, match=r"dpkg cannot unpack broken_1_all\.deb"):
        apt.unpack(archive, tmp_path / "out")
