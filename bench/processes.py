"""Programs under measurement: started on free loopback ports, their CPU and memory read from /proc, always ended."""

import os
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
    """A running program."""

    pid: int
    url: str = ""

    def cpu_seconds(self) -> float:
        """Return the CPU time the program has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def peak_memory_mebibytes(self) -> float:
        """Return the most resident memory the program has held."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines()
        line = next(line for line in status if line.startswith("VmHWM:"))
        return int(line.split()[1]) / _MEBIBYTE

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """Fetch a page of the program."""
        request = urllib.request.Request(self.url + path, headers=dict(headers or {}))  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - loopback
            content: bytes = answer.read()
        return content


@contextmanager
def started(command: Sequence[str], url: str = "", *, ready: str = "") -> Iterator[Program]:
    """Run a command until the block ends; with `ready`, wait until that path answers with 200."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:  # noqa: S603
        try:
            program = Program(process.pid, url)
            if ready:
                _await(program, ready, process)
            yield program
        finally:
            process.kill()


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


def _await(program: Program, path: str, process: subprocess.Popen[bytes], within: float = 120) -> None:
    end = time.monotonic() + within
    while time.monotonic() < end and process.poll() is None:
        try:
            program.get(path)
        except (OSError, urllib.error.HTTPError):
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{program.url}{path} did not answer within {within:g} s")
