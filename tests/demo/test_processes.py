"""The four programs as they are started: --check, mistakes, a line with the address, health, an end in good order."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.demo.conftest import SLACK_PATH, until

ROOT = Path(__file__).resolve().parents[2]
START = {
    "idp": ("--port", "0"),
    "sink": ("--port", "0", "--smtp-port", "0"),
    "agents": ("--port", "0", "--control-port", "0", "--think-seconds", "0"),
    "engine": ("--port", "0", "--sidecar", "http://127.0.0.1:9", "--token-url", "http://127.0.0.1:9/token"),
}


class Program:
    """A running program and what it logged."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []

    async def read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(json.loads(line))

    @property
    def start(self) -> dict[str, Any]:
        return next(line for line in self.lines if "url" in line)


async def spawn(name: str, *arguments: str, **environ: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", f"demo.{name}", *arguments),
        cwd=ROOT,
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@contextlib.asynccontextmanager
async def running(name: str, secrets: Path, *more: str) -> AsyncIterator[Program]:
    """Run a program until it listens; kill it afterwards if the test did not end it."""
    program = Program(await spawn(name, "--secrets", str(secrets), *START[name], *more))
    reading = asyncio.create_task(program.read())
    try:
        await until(lambda: any("url" in line for line in program.lines), 30)
        yield program
    finally:
        with contextlib.suppress(ProcessLookupError):
            program.process.kill()
        await program.process.wait()
        await reading


@pytest.mark.parametrize("name", list(START))
async def test_it_says_where_it_listens_is_healthy_ends_on_sigterm_and_logs_no_secret(
    name: str, secrets: Path, session: aiohttp.ClientSession
) -> None:
    async with running(name, secrets, "--log-level", "debug") as program:
        assert program.start["service"] == name
        async with session.get(f"{program.start['url']}/-/healthy") as response:
            assert (response.status, await response.text()) == (200, "healthy\n")
        program.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(program.process.wait(), 15) == 0
    assert not [line for line in program.lines if line["level"] in ("error", "critical")]
    for file in secrets.iterdir():
        assert file.read_text(encoding="utf-8").strip() not in json.dumps(program.lines)


@pytest.mark.parametrize("name", list(START))
async def test_check_starts_nothing(name: str, secrets: Path) -> None:
    process = await spawn(name, "--secrets", str(secrets), "--check")
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert out


@pytest.mark.parametrize("name", list(START))
async def test_missing_secrets_are_named_without_a_traceback(name: str, tmp_path: Path) -> None:
    process = await spawn(name, "--secrets", str(tmp_path / "nowhere"))
    _, err = await process.communicate()
    assert process.returncode == 2
    assert b"deploy.prepare" in err
    assert b"Traceback" not in err


@pytest.mark.parametrize("name", list(START))
async def test_a_port_that_is_none_is_explained(name: str, secrets: Path) -> None:
    variable = {"agents": "LOOKOUT_AGENTS_PORT"}.get(name, f"LOOKOUT_{name.upper()}_PORT")
    process = await spawn(name, "--secrets", str(secrets), "--check", **{variable: "high"})
    _, err = await process.communicate()
    assert process.returncode == 2
    assert variable.encode() in err
    assert b"Traceback" not in err


@pytest.mark.parametrize(
    ("name", "option", "moved_by"),
    [
        ("idp", "--port", "LOOKOUT_IDP_PORT or "),
        ("idp", "--control-port", ""),
        ("sink", "--port", "LOOKOUT_SINK_PORT or "),
        ("sink", "--smtp-port", "LOOKOUT_SINK_SMTP_PORT or "),
        ("agents", "--port", "LOOKOUT_AGENTS_PORT or "),
        ("agents", "--control-port", "LOOKOUT_DEMO_CONTROL_PORT or "),
        ("engine", "--port", "LOOKOUT_ENGINE_PORT or "),
    ],
)
async def test_a_port_that_is_taken_is_told_in_one_line(name: str, option: str, moved_by: str, secrets: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await spawn(name, "--secrets", str(secrets), *START[name], option, str(port))
        _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    told = f"cannot listen on 127.0.0.1:{port}: Address already in use (another port: {moved_by}{option})"
    assert err.decode().splitlines() == [told]


async def test_a_provider_that_listens_everywhere_needs_an_issuer(secrets: Path) -> None:
    process = await spawn("idp", "--secrets", str(secrets), "--check", "--host", "0.0.0.0")  # noqa: S104
    _, err = await process.communicate()
    assert process.returncode == 2
    assert b"give --issuer" in err


async def test_the_agents_end_their_burners_with_themselves(secrets: Path, session: aiohttp.ClientSession) -> None:
    async with running("agents", secrets) as program:
        async with session.post(f"{program.start['url']}/faults/cpu") as response:
            pids = (await response.json())["active"]["cpu"]["processes"]
        program.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(program.process.wait(), 15) == 0
    await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


async def test_the_sink_keeps_its_messages_over_a_restart(
    secrets: Path, tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    state = ("--state", str(tmp_path / "state"))
    async with (
        running("sink", secrets, *state) as program,
        session.post(f"{program.start['url']}{SLACK_PATH}", json={"text": "kept"}) as response,
    ):
        assert response.status == 200
    async with (
        running("sink", secrets, *state) as program,
        session.get(f"{program.start['url']}/messages") as response,
    ):
        assert [message["title"] for message in (await response.json())["messages"]] == ["kept"]


async def test_the_provider_keeps_its_keys_over_a_restart_and_rotates_on_its_control_port(
    secrets: Path, tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    options = ("--state", str(tmp_path / "state"), "--control-port", "0", "--issuer", "http://idp:9824")
    async with (
        running("idp", secrets, *options) as program,
        session.post(f"{program.start['control'][0]}/-/rotate") as response,
    ):
        fresh = (await response.json())["kid"]
    async with running("idp", secrets, *options) as program:
        async with session.get(f"{program.start['url']}/jwks") as response:
            keys = (await response.json())["keys"]
        async with session.get(f"{program.start['url']}/.well-known/openid-configuration") as response:
            assert (await response.json())["issuer"] == "http://idp:9824"
    assert (keys[0]["kid"], len(keys)) == (fresh, 2)


async def test_the_agents_say_where_each_of_them_listens(secrets: Path) -> None:
    async with running("agents", secrets) as program:
        assert len(set(program.start["agents"].values())) == 12
