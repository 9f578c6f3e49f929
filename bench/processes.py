"""Programs under measurement: started on free loopback ports, their CPU and memory read from /proc, always ended."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")
_MEBIBYTE = 1024


class Program(NamedTuple):
    """A running program: a process and all that descend from it."""

    pid: int
    url: str = ""

    def cpu_seconds(self) -> float:
        """Return the CPU time the program has used so far, that of processes that have ended included."""
        return sum(_ticks(pid) for pid in _family(self.pid)) / _TICKS

    def peak_memory_mebibytes(self) -> float:
        """Return the most resident memory the program has held."""
        return sum(_peak_kibibytes(pid) for pid in _family(self.pid)) / _MEBIBYTE

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """Fetch a page of the program."""
        request = urllib.request.Request(self.url + path, headers=dict(headers or {}))  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - loopback
            content: bytes = answer.read()
        return content


def _family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            found += [int(child) for child in children.read_text(encoding="ascii").split()]
    return found


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15])


def _peak_kibibytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in status if line.startswith("VmHWM:")).split()[1])


@contextmanager
def started(
    command: Sequence[str],
    url: str = "",
    *,
    ready: str = "",
    headers: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    core: int | None = None,
) -> Iterator[Program]:
    """Run a command until the block ends; with `ready`, wait until that path answers such a request with 200."""
    with subprocess.Popen(  # noqa: S603 - programs that are measured
        _on_core(core, command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environ, process_group=0
    ) as process:
        try:
            program = Program(process.pid, url)
            if ready:
                _await(program, ready, headers, process)
            yield program
        finally:
            _end(process)


@contextmanager
def targets(*options: str) -> Iterator[int]:
    """Run what is probed (bench/targets.py) and yield its first port."""
    command = [sys.executable, "-m", "bench.targets", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own program
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            yield int(process.stdout.readline())
        finally:
            process.kill()


def _on_core(core: int | None, command: Sequence[str]) -> list[str]:
    return list(command) if core is None else ["taskset", "-c", str(core), *command]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and the children that it has not waited for."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _await(
    program: Program,
    path: str,
    headers: Mapping[str, str] | None,
    process: subprocess.Popen[bytes],
    within: float = 120,
) -> None:
    end = time.monotonic() + within
    while time.monotonic() < end and process.poll() is None:
        try:
            program.get(path, headers)
        except (OSError, urllib.error.HTTPError):
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{program.url}{path} did not answer within {within:g} s")
