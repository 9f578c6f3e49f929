"""Processes that outlive the shell that started them, and are never mistaken for another one with the same number."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from deploy.native.files import write_if_changed

LOG_KEPT_BYTES = 20_000_000


@dataclass(frozen=True)
class Record:
    """What is remembered of a started process, one JSON file each."""

    name: str
    pid: int
    identity: str
    """What tells this process from a later one with the same pid (see identity())."""
    command: tuple[str, ...]
    code: str
    """Digest of the program's source, so that new code is started again."""
    config: str
    """Digest of the configuration it last read."""

    @property
    def is_running(self) -> bool:
        """Tell whether exactly this process still runs."""
        return identity(self.pid) == self.identity


def identity(pid: int) -> str | None:
    """Return what names a process for good: boot and start time; None when it has ended."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _identity_by_ps(pid)
    state, threads, started = told[0], int(told[17]), told[19]  # proc(5): the 3rd, 20th and 22nd field
    # The first thread may be a zombie while others still hold the process's ports.
    return None if state in "ZX" and threads <= 1 else f"{boot}/{started}"


def _identity_by_ps(pid: int) -> str | None:
    """Return the start time as ps tells it, on systems without /proc."""
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    state, _, started = subprocess.run(command, capture_output=True, text=True).stdout.strip().partition(" ")  # noqa: S603
    return started.strip() if started and not state.startswith("Z") else None


def start(
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    records: Path,
    folder: Path | None = None,
    environ: Mapping[str, str],
    code: str,
    config: str,
) -> Record:
    """Start a process in a session of its own, its output in the log file, and remember it among the records.

    Raises OSError when the program cannot be run.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_KEPT_BYTES:
        log.replace(log.with_suffix(".old.log"))
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            env=environ,
            start_new_session=True,
        )
    record = Record(name, process.pid, identity(process.pid) or "", tuple(command), code, config)
    remember(record, records)
    process.returncode = 0  # it is to outlive this one: silences the warning about a child that still runs
    return record


def remember(record: Record, folder: Path) -> None:
    """Write the record, so that a later command finds the process."""
    write_if_changed(folder / f"{record.name}.json", json.dumps(asdict(record), indent=1))


def recall(folder: Path) -> dict[str, Record]:
    """Read every record, by name; those of ended processes too. One that cannot be read is said and passed over."""
    found = {}
    for file in sorted(folder.glob("*.json")):
        try:
            known = json.loads(file.read_text(encoding="utf-8"))
            wanted = {field.name: known[field.name] for field in fields(Record)}
            found[file.stem] = Record(**{**wanted, "command": tuple(wanted["command"])})
        except (ValueError, KeyError, TypeError):
            print(f"{file} cannot be read; if {file.stem} still runs, end it by hand", file=sys.stderr)
    return found


def forget(record: Record, folder: Path) -> None:
    """Remove the record."""
    (folder / f"{record.name}.json").unlink(missing_ok=True)


def stop(record: Record, *, patience_seconds: float = 15.0) -> bool:
    """End the process and what it started in its session, politely first; tell whether it needed force."""
    send(record, signal.SIGTERM)
    if wait_for_end(record, patience_seconds):
        return False
    send(record, signal.SIGKILL, whole_session=True)
    wait_for_end(record, patience_seconds)
    return True


def send(record: Record, number: signal.Signals, *, whole_session: bool = False) -> None:
    """Send a signal only while the process is the one that was started."""
    if record.is_running:
        (os.killpg if whole_session else os.kill)(record.pid, number)


def wait_for_end(record: Record, seconds: float) -> bool:
    """Wait until the process has ended; tell whether it did in time."""
    deadline = time.monotonic() + seconds
    while record.is_running:
        if time.monotonic() > deadline:
            return False
        _reap(record.pid)
        time.sleep(0.05)
    return True


def _reap(pid: int) -> None:
    """Take note of an ended child, where the process was started by this very one."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return


def last_lines(log: Path, count: int = 15, *, since: int = 0) -> str:
    """Return the end of what a log file holds from a byte on; all of it counts where it became shorter since."""
    if not log.exists():
        return "(it wrote no log)"
    size = log.stat().st_size
    with log.open("rb") as handle:
        handle.seek(max(since if since <= size else 0, size - 20_000))
        return "\n".join(handle.read().decode(errors="replace").splitlines()[-count:]) or "(it wrote no log)"
