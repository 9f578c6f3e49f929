"""Prometheus and its relatives without installing them: from Debian packages unpacked below `.lookout/`, or the PATH.

Two releases, because generated files must be valid at both ends: "new" is Debian forky, "old" is Debian bookworm.
`python -m deploy.native.packages [--release old] [PROGRAM ...]` fetches ahead of time.
"""

import argparse
import fcntl
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from deploy.native import apt
from deploy.native.files import write_if_changed

Release = Literal["new", "old"]
SUITE: Mapping[Release, str] = {"new": "forky", "old": "bookworm"}
# Debian compiles the place of default templates and pages into its programs. An unpacked copy reads them through a
# descriptor that its launcher opens, so the path is replaced by one of the same length.
DATA = "/usr/share/prometheus"
RELOCATED = "/proc/self/fd/9".ljust(len(DATA), "/")
OFFERED = Path(__file__).resolve().parents[2] / ".lookout" / "bin"
LAUNCHER = """#!/bin/sh
# This program's data folder was compiled in; the unpacked copy reads it through descriptor 9.
exec 9<"${{0%/*}}/../root{data}" "${{0%/*}}/../root/usr/bin/{binary}" "$@"
"""


class Program(NamedTuple):
    """Where a program is found: its Debian package, its name there, and the flag that makes it tell its version."""

    package: str
    binary: str
    version_flag: str = "--version"
    old_package: str = ""
    oldest: tuple[int, int] = (0, 0)
    """The oldest version that serves (DESIGN.md section 9)."""

    def package_in(self, release: Release) -> str:
        """Return the package that holds the program in a release."""
        return (release == "old" and self.old_package) or self.package


PROGRAMS: Mapping[str, Program] = {
    "prometheus": Program("prometheus", "prometheus", oldest=(2, 42)),
    "promtool": Program("promtool", "promtool", old_package="prometheus"),
    "alertmanager": Program("prometheus-alertmanager", "prometheus-alertmanager", oldest=(0, 25)),
    "amtool": Program("prometheus-alertmanager", "amtool"),
    "node_exporter": Program("prometheus-node-exporter", "prometheus-node-exporter"),
    "blackbox_exporter": Program("prometheus-blackbox-exporter", "prometheus-blackbox-exporter"),
    "victoria-metrics": Program("victoria-metrics", "victoria-metrics", "-version"),
    "vmalert": Program("victoria-metrics", "vmalert", "-version"),
    "vmalert-tool": Program("victoria-metrics", "vmalert-tool", "--help"),
}


class MissingProgramError(Exception):
    """A program is neither on the PATH nor to be had as a Debian package; the message says how to get it."""


def folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where packages are unpacked: LOOKOUT_PACKAGES, else `.lookout/packages` of this checkout."""
    default = Path(__file__).resolve().parents[2] / ".lookout" / "packages"
    return Path(environ.get("LOOKOUT_PACKAGES") or default).resolve()


def locate(name: str, release: Release = "new", *, base: Path | None = None) -> Path:
    """Return a program that runs, unpacking its Debian package first where that has not happened yet.

    Where the machine has no Debian mirror the PATH is searched. Raises MissingProgramError, AptError.
    """
    program = PROGRAMS[name]
    path = _unpacked(base or folder(), release, program)
    if path.exists():
        return path
    if apt.mirror() is None:
        return _on_path(name, program)
    fetch([name], release, base=base)
    return path


def locate_for_use(name: str) -> Path:
    """Return the program of the PATH where it is recent enough, else as locate() does."""
    return _serves(name) or locate(name)


def _serves(name: str) -> Path | None:
    """Return the program of the PATH when it runs and is recent enough."""
    program = PROGRAMS[name]
    try:
        found = _on_path(name, program)
        told = re.search(r"version v?(\d+)\.(\d+)", version(found, program.version_flag))
    except MissingProgramError:
        return None
    return found if told and (int(told[1]), int(told[2])) >= program.oldest else None


def offer(names: Iterable[str], place: Path = OFFERED) -> None:
    """Write a launcher of each program to where documentation and people find it. Raises as locate() does."""
    place.mkdir(parents=True, exist_ok=True)
    for name in names:
        text = f'#!/bin/sh\nexec {shlex.quote(str(locate_for_use(name)))} "$@"\n'
        write_if_changed(place / name, text, mode=0o755)


def fetch_missing(names: Iterable[str]) -> None:
    """Fetch, in one go, the programs that locate_for_use() would have to fetch. Raises as it does."""
    missing = [name for name in names if not _serves(name)]
    if missing and apt.mirror() is not None:
        fetch(missing)


def fetch(names: Iterable[str], release: Release = "new", *, base: Path | None = None) -> None:
    """Unpack and verify the programs' packages; those already there are left alone. Safe to run in parallel."""
    base = base or folder()
    with lock(base / f"{release}.lock"):
        absent = [PROGRAMS[name] for name in names if not _unpacked(base, release, PROGRAMS[name]).exists()]
        missing = sorted({program.package_in(release) for program in absent})
        if missing:
            _fetch(missing, release, base)


def _fetch(missing: list[str], release: Release, base: Path) -> None:
    uri = apt.mirror()
    if uri is None:
        raise MissingProgramError(_how_to_get(", ".join(missing)))
    _say(f"fetching {', '.join(missing)} from Debian {SUITE[release]} (unpacked below {base}, not installed)")
    (base / release).mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=base, prefix="unpacking-") as temporary:
        # Kept, so that the index of packages is fetched once and later only asked for news.
        configuration = apt.configure(base / f"{release}-index", SUITE[release], uri)
        for archive in apt.download(configuration, missing, Path(temporary)):
            package = archive.name.partition("_")[0]
            unpacked = Path(temporary) / package
            _unpack(archive, unpacked)
            _say(f"{release} {package}: {_verify(unpacked / 'bin')}")
            # What an older checkout unpacked lacks the launchers of programs that nobody asked it for.
            shutil.rmtree(base / release / package, ignore_errors=True)
            unpacked.rename(base / release / package)  # there only when complete and verified


def _unpack(archive: Path, target: Path) -> None:
    (target / "bin").mkdir(parents=True)
    apt.unpack(archive, target / "root")
    for program in PROGRAMS.values():
        binary = target / "root" / "usr" / "bin" / program.binary
        if binary.is_file():
            _launcher(binary, target / "bin" / program.binary)


def _launcher(binary: Path, launcher: Path) -> None:
    """Make the program start from where it lies, wherever it was meant to be installed."""
    content = binary.read_bytes()
    if DATA.encode() not in content:
        launcher.symlink_to(Path("..") / "root" / "usr" / "bin" / binary.name)
        return
    binary.write_bytes(content.replace(DATA.encode(), RELOCATED.encode()))
    launcher.write_text(LAUNCHER.format(data=DATA, binary=binary.name), encoding="utf-8")
    launcher.chmod(0o755)


def _verify(folder: Path) -> str:
    """Run each program of an unpacked package and return their version lines."""
    found = [(folder / program.binary, program.version_flag) for program in PROGRAMS.values()]
    return "; ".join(version(binary, flag) for binary, flag in found if binary.exists())


def version(binary: Path, flag: str = "--version") -> str:
    """Return the first line in which a program tells its version. Raises MissingProgramError when it does not run."""
    try:
        result = subprocess.run([binary, flag], capture_output=True, text=True, timeout=30)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingProgramError(f"{binary} does not run: {error}") from error
    if result.returncode:
        raise MissingProgramError(f"{binary} {flag} failed: {(result.stderr or result.stdout).strip()[:500]}")
    lines = (result.stdout + result.stderr).splitlines()
    return next((line.partition(" (")[0] for line in lines if "version" in line), f"{binary.name} runs")


def _unpacked(base: Path, release: Release, program: Program) -> Path:
    return base / release / program.package_in(release) / "bin" / program.binary


def _on_path(name: str, program: Program) -> Path:
    found = shutil.which(name) or shutil.which(program.binary)
    if not found:
        raise MissingProgramError(_how_to_get(name))
    return Path(found)


def _how_to_get(name: str) -> str:
    return (
        f"{name} is not on the PATH, and this machine has no Debian package mirror to unpack it from. "
        "Install Docker with Compose (then `make up` uses it), or put it on the PATH: Prometheus, Alertmanager and the "
        "exporters are at https://prometheus.io/download/, vmalert is part of VictoriaMetrics."
    )


@contextmanager
def lock(file: Path) -> Iterator[None]:
    """Hold a lock file, shared by all processes of this checkout; say so when another one holds it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"waiting for another process that holds {file.name}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    print(f"packages: {text}", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Fetch the named programs (all by default), print where each is, and offer the new ones in `.lookout/bin`."""
    parser = argparse.ArgumentParser(prog="deploy.native.packages", description=__doc__)
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help=f"of {', '.join(PROGRAMS)}; default: all")
    parser.add_argument("--release", choices=get_args(Release), default="new")
    options = parser.parse_args(arguments)
    names = options.programs or list(PROGRAMS)
    if unknown := sorted(set(names) - set(PROGRAMS)):
        parser.error(f"no such program: {', '.join(unknown)}")
    try:
        if apt.mirror() is not None:
            fetch(names, options.release)
        for name in names:
            print(f"{name}\t{locate(name, options.release)}")
        if options.release == "new":
            offer(names)
    except (MissingProgramError, apt.AptError) as error:
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
