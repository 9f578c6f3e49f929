"""Make the virtual environment that every make target uses; needs nothing but a Python of 3.11 or newer.

Runs before anything is installed, so it imports the standard library alone. `python deploy/bootstrap.py .venv to-run`
installs only what the running stack needs, and without the second word everything.
"""

import fcntl
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EVERYTHING, TO_RUN = "generate,demo,dev", "demo"


def main(folder: Path, *, to_run: bool = False) -> int:
    """Create the environment where it is missing and install the project with its pinned dependencies."""
    if missing := [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]:
        _say(f"this Python ({sys.executable}) has no {' and no '.join(missing)}; {_mend()}")
        return 1
    with _lock(folder.with_name(folder.name + ".lock")):
        if not _works(folder / "bin" / "python") and _create(folder):
            return 1
        if _install(folder / "bin" / "python", TO_RUN if to_run else EVERYTHING):
            _say("the installation failed (above); is the package index reachable?")
            return 1
        for mark in (".ready-to-run",) if to_run else (".ready-to-run", ".ready"):
            (folder / mark).touch()
    return 0


def _create(folder: Path) -> int:
    _say(f"making {folder} with Python {sys.version.split()[0]}")
    result = subprocess.run([sys.executable, "-m", "venv", "--clear", folder])  # noqa: S603
    if result.returncode:
        _say(f"the virtual environment cannot be made (above); {_mend()}")
    return result.returncode


def _install(python: Path, extras: str) -> int:
    """Run pip, which tells only what goes wrong."""
    # Without pip's cache in the home folder: the machine stays as it is outside this checkout.
    options = ["--quiet", "--disable-pip-version-check", "--no-cache-dir", "--no-input"]
    constraints = ["-c", str(ROOT / "constraints.txt")] if (ROOT / "constraints.txt").exists() else []
    command = [str(python), "-m", "pip", "install", *options, *constraints, "-e", f"{ROOT}[{extras}]"]
    _say("installing the project and its dependencies (about a minute)")
    began = time.monotonic()
    code = subprocess.run(command).returncode  # noqa: S603
    if code == 0:
        _say(f"installed after {time.monotonic() - began:.0f} s")
    return code


def _works(python: Path) -> bool:
    """Tell whether the environment's interpreter and pip run; they do not after an upgrade of the system's Python."""
    if not python.exists():
        return False
    return subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0  # noqa: S603


def _mend() -> str:
    name = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    return f"on Debian and Ubuntu install the package {name}, or name another Python: make PYTHON=/path/to/python3"


@contextmanager
def _lock(file: Path) -> Iterator[None]:
    """Let one bootstrap run at a time."""
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".venv").absolute(), to_run="to-run" in sys.argv[2:]))
