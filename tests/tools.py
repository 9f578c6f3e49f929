"""The real programs that tests run: Prometheus and its relatives of both supported ends, and a legacy MCP SDK.

`python -m tests.tools` fetches all of them ahead of the tests.
"""

import shutil
import subprocess
import sys
import venv
from functools import cache
from pathlib import Path

import pytest

from deploy.native import apt, packages

OLD_ENDS = ("prometheus", "promtool", "alertmanager", "amtool")
# The last SDK line that knows only the sessions of the protocol's first era.
LEGACY_PACKAGES = ("mcp==1.30.0", "uvicorn==0.54.0")
LEGACY_VENV = Path(__file__).resolve().parents[1] / ".lookout" / "legacy-venv"


@cache
def tool(name: str, release: packages.Release = "new") -> Path:
    """Return a program of the named release, fetching it first where it is missing.

    Skips the test where neither the PATH nor a Debian mirror has it; a mirror that fails is an error.
    """
    if release == "old" and apt.mirror() is None:
        pytest.skip(f"the old release of {name} comes from Debian packages, and this machine has no Debian mirror")
    try:
        return packages.locate(name, release)
    except packages.MissingProgramError as error:
        if apt.mirror() is not None:
            raise
        pytest.skip(str(error))


@cache
def legacy_python() -> Path:
    """Return the interpreter of an environment with the legacy MCP SDK and uvicorn, made where it is missing."""
    LEGACY_VENV.parent.mkdir(exist_ok=True)
    made_from = LEGACY_VENV / "made-from.txt"  # written last: what it names is complete
    with packages.lock(LEGACY_VENV.with_suffix(".lock")):
        if not made_from.exists() or made_from.read_text(encoding="utf-8") != repr(LEGACY_PACKAGES):
            _make_legacy_venv()
            made_from.write_text(repr(LEGACY_PACKAGES), encoding="utf-8")
    return LEGACY_VENV / "bin" / "python"


def _make_legacy_venv() -> None:
    print(f"tools: making {LEGACY_VENV} with {', '.join(LEGACY_PACKAGES)}", file=sys.stderr, flush=True)
    shutil.rmtree(LEGACY_VENV, ignore_errors=True)
    venv.create(LEGACY_VENV, with_pip=True)
    options = ["--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    python = str(LEGACY_VENV / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", *options, *LEGACY_PACKAGES], check=True)


def fetch_all() -> None:
    """Fetch every program that a test asks for."""
    if apt.mirror() is not None:
        packages.fetch(packages.PROGRAMS)
        packages.fetch(OLD_ENDS, "old")
    legacy_python()


if __name__ == "__main__":
    fetch_all()
