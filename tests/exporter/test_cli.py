"""The exporter as a program: check, run, reload by signal, end in order, pin."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import yaml

from exporter.tool_pins import read_pins
from tests.exporter.running import World, world
from tests.exporter.servers import answering, serving
from tests.exporter.test_fleet import samples
from tests.exporter.test_mcp_client import LegacyServer

Write = Callable[[str, str], Path]
GOOD = "agents:\n- {name: a, type: planner, url: http://127.0.0.1:1/mcp}\n"


async def command(*arguments: str | Path) -> tuple[int, str, str]:
    """Run the program to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "exporter",
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


class Program:
    """The exporter, running as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.url = ""
        self.log: list[dict[str, object]] = []

    async def logged(self, message: str) -> dict[str, object]:
        """Return the line with a message, reading on where it has not come yet."""
        for earlier in self.log:
            if earlier["message"] == message:
                return earlier
        assert self.process.stderr is not None
        async with asyncio.timeout(20):
            while line := await self.process.stderr.readline():
                self.log.append(json.loads(line))
                if self.log[-1]["message"] == message:
                    return self.log[-1]
        raise AssertionError(f"{message!r} was not logged: {self.log}")

    async def text(self, path: str) -> str:
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as response:
            return await response.text()


@asynccontextmanager
async def program(config: Path) -> AsyncIterator[Program]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "exporter", "--config", str(config), "--port", "0"), stderr=asyncio.subprocess.PIPE
    )
    started = Program(process)
    try:
        started.url = str((await started.logged("exporter listening"))["url"])
        yield started
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
async def around() -> AsyncIterator[World]:
    async with world() as made:
        yield made


async def test_check_of_a_good_file_says_so(write: Write) -> None:
    file = write("exporter.yaml", GOOD)
    assert await command("--config", file, "--check") == (0, f"{file}: good, 1 agent\n", "")


async def test_check_shows_warnings(write: Write) -> None:
    file = write("exporter.yaml", "agents: []\n")
    code, out, err = await command("--config", file, "--check")
    assert (code, out) == (0, f"{file}: good, 0 agents\n")
    assert err == f"warning: {file}:1: no agents and no file_sd: nothing to probe (add agents)\n"


async def test_check_tells_of_variables_of_tracing(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write("exporter.yaml", GOOD)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "-5")
    code, _, err = await command("--config", file, "--check")
    assert code == 0
    assert err.startswith("warning: OTEL_BSP_SCHEDULE_DELAY: '-5' is no whole number")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    for arguments in (("--check",), ()):
        code, _, err = await command("--config", file, *arguments)
        assert code == 2
        assert "OTEL_TRACES_EXPORTER: 'console' is not supported (set otlp or none)\n" in err
        assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [("--check",), (), ("pin",)])
async def test_broken_file_ends_with_code_2_and_every_problem(write: Write, arguments: tuple[str, ...]) -> None:
    file = write("exporter.yaml", GOOD + "timeout: 5s\nagent_types: [a, a]\n")
    code, _, err = await command(*arguments, "--config", file)
    assert code == 2
    assert f"{file}:3: timeout: unknown key" in err
    assert "Traceback" not in err


async def test_check_reads_target_files_too(write: Write) -> None:
    file = write("exporter.yaml", GOOD + "file_sd: [{files: [targets.yaml]}]\n")
    targets = write("targets.yaml", "- targets: [b:1]\n  labels: {agent: b, agent_type: planner}\n")
    assert await command("--config", file, "--check") == (0, f"{file}: good, 2 agents\n", "")
    write("targets.yaml", "- targets: [b:1]\n  labels: {agent: b, agent_type: poet}\n")
    code, _, err = await command("--config", file, "--check")
    assert code == 2
    assert f"{targets}:2: 0.labels.agent_type: unknown agent_type 'poet'" in err
    write("targets.yaml", "- targets: [b:1]\n  labels: {agent: a, agent_type: planner}\n")
    code, _, err = await command("--config", file, "--check")
    assert code == 2
    assert f"{file}:1: file_sd: the name a of http://b:1/mcp is taken (rename it)" in err


async def test_check_warns_of_target_files_that_are_not_there(write: Write, tmp_path: Path) -> None:
    file = write("exporter.yaml", GOOD + "file_sd: [{files: [tragets/*.json, targets.yaml]}]\n")
    code, out, err = await command("--config", file, "--check")
    assert (code, out) == (0, f"{file}: good, 1 agent\n")
    mend = "(relative paths start at the folder of the configuration file)"
    assert err.splitlines() == [
        f"warning: {file}:1: file_sd: {tmp_path}/tragets/*.json: no file fits this pattern yet {mend}",
        f"warning: {file}:1: file_sd: {tmp_path}/targets.yaml: the file does not exist {mend}",
    ]


async def test_missing_file_ends_with_code_2(tmp_path: Path) -> None:
    code, _, err = await command("--config", tmp_path / "none.yaml", "--check")
    assert code == 2
    assert "the file does not exist (check the path)" in err


async def test_program_serves_reloads_and_ends_in_order(write: Write, around: World) -> None:
    file = write("exporter.yaml", yaml.safe_dump(around.config()))
    async with program(file) as started:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", started.url)
        found = samples((await started.text("/metrics")).encode())
        assert found["mcp_build_info"][("exporter", "0.1.0")] == 1
        assert found["process_resident_memory_bytes"]
        file.write_text("agents: 7\n")
        os.kill(started.process.pid, signal.SIGHUP)
        refused = await started.logged("configuration refused, the running one stays")
        assert refused["level"] == "error"
        file.write_text(yaml.safe_dump(around.config(agents=[])))
        os.kill(started.process.pid, signal.SIGHUP)
        await started.logged("configuration reloaded")
        started.process.terminate()
        async with asyncio.timeout(10):
            assert await started.process.wait() == 0


async def test_end_of_the_program_ends_sessions_under_way(write: Write) -> None:
    server = LegacyServer(ping=b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")
    async with serving(answering(server)) as url:
        agent = {"name": "a", "type": "planner", "url": f"{url}/mcp"}
        file = write("exporter.yaml", yaml.safe_dump({"agents": [agent]}))
        async with program(file) as started:
            async with asyncio.timeout(10):
                while "ping" not in server.methods():
                    await asyncio.sleep(0.01)
            started.process.terminate()
            async with asyncio.timeout(10):
                assert await started.process.wait() == 0
    assert server.methods()[-1] == "DELETE"


async def test_port_in_use_is_told(write: Write, around: World) -> None:
    port = around.url.rsplit(":", 1)[1]
    code, _, err = await command("--config", write("exporter.yaml", GOOD), "--port", port)
    assert code == 1
    assert f"cannot listen on 127.0.0.1:{port}: " in err
    assert "Traceback" not in err


async def test_pin_writes_the_tools_that_agents_list_now(write: Write, tmp_path: Path, modern_url: str) -> None:
    agents = [
        {"name": "alive", "type": "planner", "url": modern_url},
        {"name": "plain", "type": "planner", "url": modern_url.replace("/mcp", "/sessions"), "probe": "http"},
    ]
    file = write("exporter.yaml", yaml.safe_dump({"agents": agents, "pinned_tools": "pins.json"}))
    code, out, _ = await command("pin", "--config", file)
    assert code == 0
    total = f"{tmp_path / 'pins.json'}: 2 tools of 1 agents"
    assert out.splitlines() == ["alive: add added", "alive: fail added", total]
    assert sorted(read_pins(tmp_path / "pins.json")["alive"]) == ["add", "fail"]
    code, out, _ = await command("pin", "--config", file)
    assert (code, out.splitlines()) == (0, [total])


async def test_pin_prints_the_file_where_it_cannot_write_it(write: Write, tmp_path: Path, modern_url: str) -> None:
    agents = [{"name": "alive", "type": "planner", "url": modern_url}]
    file = write("exporter.yaml", yaml.safe_dump({"agents": agents, "pinned_tools": "pins.json"}))
    code, out, err = await command("pin", "--print", "--config", file)
    assert code == 0
    assert sorted(json.loads(out)["agents"]["alive"]) == ["add", "fail"]
    assert err.splitlines()[:2] == ["alive: add added", "alive: fail added"]
    assert not (tmp_path / "pins.json").exists()


async def test_pin_keeps_the_tools_of_an_agent_out_of_reach(write: Write, tmp_path: Path) -> None:
    write("pins.json", '{"version": 1, "agents": {"a": {"add": "123"}, "gone": {"x": "1"}}}')
    file = write("exporter.yaml", GOOD + "pinned_tools: pins.json\n")
    code, _, err = await command("pin", "--config", file)
    assert code == 1
    assert err.startswith("a: connect_error: ")
    assert "its pinned tools stay" in err
    assert read_pins(tmp_path / "pins.json") == {"a": {"add": "123"}}


async def test_pin_of_named_agents_leaves_the_others_alone(write: Write, tmp_path: Path, legacy_url: str) -> None:
    write("pins.json", '{"version": 1, "agents": {"other": {"add": "123"}}}')
    agents = [{"name": name, "type": "planner", "url": legacy_url} for name in ("one", "other")]
    file = write("exporter.yaml", yaml.safe_dump({"agents": agents, "pinned_tools": "pins.json"}))
    code, _, err = await command("pin", "one", "nobody", "--config", file)
    assert (code, err) == (0, "nobody: no such MCP agent\n")
    pins = read_pins(tmp_path / "pins.json")
    assert (sorted(pins["one"]), pins["other"]) == (["add", "fail"], {"add": "123"})


async def test_pin_without_a_file_to_write_says_so(write: Write) -> None:
    code, _, err = await command("pin", "--config", write("exporter.yaml", GOOD))
    assert (code, err) == (2, "pinned_tools is not set in the configuration; name the file to write there first\n")


async def test_drift_shows_after_pinning_and_a_changed_tool(write: Write, around: World, modern_url: str) -> None:
    agents = [{"name": "alive", "type": "planner", "url": modern_url}]
    file = write("exporter.yaml", yaml.safe_dump({"agents": agents, "pinned_tools": "pins.json"}))
    await command("pin", "--config", file)
    pins = json.loads((file.parent / "pins.json").read_text())
    pins["agents"]["alive"]["add"] = "another"
    (file.parent / "pins.json").write_text(json.dumps(pins))
    async with program(file) as started:
        await started.logged("tools differ from the pinned ones")
        drift = samples((await started.text("/metrics")).encode())["mcp_agent_tool_drift"]
    assert drift == {("planner", "alive", kind): float(kind == "changed") for kind in ("added", "removed", "changed")}
