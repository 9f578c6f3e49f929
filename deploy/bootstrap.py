"""Make the virtual environment that every make target uses; needs nothing but a Python of 3.11 or newer.

Runs before anything is installed, so it imports the standard library alone. `python deploy/bootstrap.py .venv`.
"""

import fcntl
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = "generate,demo,dev"
SHOWN = ("Collecting ", "Installing ", "Successfully installed mcp-lookout", "ERROR", "error:")


def main(folder: Path) -> int:
    """Create the environment where it is missing and install the project with its pinned dependencies."""
    if missing := [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]:
        _say(f"this Python ({sys.executable}) has no {' and no '.join(missing)}; {_mend()}")
        return 1
    with _lock(folder.with_name(folder.name + ".lock")):
        if not _works(folder / "bin" / "python") and _create(folder):
            return 1
        if _install(folder / "bin" / "python"):
            _say("the installation failed (above); is the package index reachable?")
            return 1
        (folder / ".ready").touch()
    return 0


def _create(folder: Path) -> int:
    _say(f"making {folder} with Python {sys.version.split()[0]}")
    result = subprocess.run([sys.executable, "-m", "venv", "--clear", folder])  # noqa: S603
    if result.returncode:
        _say(f"the virtual environment cannot be made (above); {_mend()}")
    return result.returncode


def _install(python: Path) -> int:
    """Run pip and show a line a package, so that a slow download is seen to move."""
    # Without pip's cache in the home folder: the machine stays as it is outside this checkout.
    options = ["--disable-pip-version-check", "--no-cache-dir", "--no-input", "--progress-bar", "off"]
    constraints = ["-c", str(ROOT / "constraints.txt")] if (ROOT / "constraints.txt").exists() else []
    command = [str(python), "-m", "pip", "install", *options, *constraints, "-e", f"{ROOT}[{EXTRAS}]"]
    _say("installing the project and its dependencies (about a minute when nothing is cached)")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:  # noqa: S603
        for line in process.stdout or ():
            if line.startswith(SHOWN):
                _say(f"  {line.partition(' (from ')[0].rstrip()[:120]}")
    return process.returncode


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
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".venv").absolute()))
