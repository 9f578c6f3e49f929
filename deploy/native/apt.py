"""Debian packages through a private apt: own sources, state and cache, so that the system's apt is only ever read.

apt does what it is good at (mirrors, proxies, signatures, checksums); `dpkg -x` unpacks, nothing is installed.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SUITES = frozenset({"bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable"})
# What the machine's own configuration says about reaching mirrors is kept; its hooks and everything else are not.
KEPT = ("Acquire::http", "Acquire::https", "Acquire::Check-")


class AptError(Exception):
    """apt or dpkg is missing, or failed; the message says what to do."""


def mirror(etc: Path = Path("/etc/apt")) -> str | None:
    """Return the URI of the Debian mirror that this machine uses, None where it has none."""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        return None
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    entries = (entry for file in files if file.is_file() for entry in _entries(file))
    return next((uri for uri, suites in entries if SUITES.intersection(suites)), None)


def _entries(file: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield (URI, suites) of each binary source in a sources file of either style (sources.list(5))."""
    text = "\n".join(line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    if file.suffix == ".sources":
        yield from _deb822_entries(text)
    elif file.suffix == ".list":
        yield from _line_entries(text)


def _deb822_entries(text: str) -> Iterator[tuple[str, list[str]]]:
    for stanza in text.split("\n\n"):
        pairs = (line.split(":", 1) for line in stanza.splitlines() if ":" in line and line[0] not in " \t")
        fields = {name.strip().lower(): value.split() for name, value in pairs}
        if "deb" in fields.get("types", []) and fields.get("enabled", ["yes"]) != ["no"]:
            yield from ((uri, fields.get("suites", [])) for uri in fields.get("uris", []))


def _line_entries(text: str) -> Iterator[tuple[str, list[str]]]:
    for line in text.splitlines():
        without_options = line.partition("[")[0] + line.rpartition("]")[2] if "[" in line else line
        words = without_options.split()
        if len(words) >= 3 and words[0] == "deb" and not words[1].startswith("cdrom:"):
            yield words[1], [words[2]]


def configure(folder: Path, suite: str, uri: str) -> Path:
    """Write a private configuration for one suite into the folder and return its path."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {uri} {suite} main\n", encoding="utf-8")
    settings = {
        # APT_CONFIG is read first, so naming no other file here keeps the machine's hooks out.
        "Dir::Etc::Main": "/dev/null",
        "Dir::Etc::Parts": "/dev/null",
        "Dir::Etc::SourceList": str(folder / "sources.list"),
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State": str(folder),
        "Dir::State::Lists": str(folder / "lists"),
        "Dir::State::status": str(folder / "status"),
        "Dir::Cache": str(folder / "cache"),
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::PDiffs": "false",
        "Acquire::GzipIndexes": "true",  # kept as they come: small
        "Acquire::Retries": "3",
    }
    file = folder / "apt.conf"
    file.write_text("\n".join([*_kept_settings(), *(f'{k} "{v}";' for k, v in settings.items()), ""]), encoding="utf-8")
    file.chmod(0o600)  # a proxy setting may hold a password
    return file


def _kept_settings() -> list[str]:
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout  # noqa: S607
    return [line for line in dump.splitlines() if line.startswith(KEPT)]


def download(configuration: Path, packages: Iterable[str], target: Path) -> list[Path]:
    """Download the packages' newest versions into the target folder; apt's own progress goes to standard error."""
    _apt_get(configuration, ["update"])
    _apt_get(configuration, ["download", *packages], target)
    return sorted(target.glob("*.deb"))


def _apt_get(configuration: Path, arguments: list[str], folder: Path | None = None) -> None:
    environ = {**os.environ, "APT_CONFIG": str(configuration), "LC_ALL": "C"}
    command = ["apt-get", *arguments]
    result = subprocess.run(command, env=environ, cwd=folder, stdout=sys.stderr)  # noqa: S603
    if result.returncode:
        raise AptError(f"`{' '.join(command)}` failed (above); is the Debian mirror reachable?")


def unpack(archive: Path, target: Path) -> None:
    """Unpack a package's files into the target folder; nothing is installed and no script of it runs."""
    result = subprocess.run(["dpkg", "-x", archive, target], capture_output=True, text=True)  # noqa: S603, S607
    if result.returncode:
        raise AptError(f"dpkg cannot unpack {archive.name}: {result.stderr.strip()}")
