"""Faults: what each does to running agents, the control API, the command line; and that healing heals."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from contract.web import Server, serve
from demo import options, wire
from demo.agents.__main__ import DOWN_AGENT, FAIL_EVERY, SLOW_AGENT, SLOW_SECONDS, effects
from demo.agents.conduct import Conduct
from demo.agents.fleet import Agent, build, names
from demo.faults.__main__ import Refused, ask, ending, listing, story
from demo.faults.bad_tokens import INTERVAL_SECONDS, LEEWAY_SECONDS, Intruder
from demo.faults.catalogue import EXPECTATIONS, GROUPING, Fault, about
from demo.faults.control import control_app
from demo.faults.effects import Burners, Faults
from tests.demo.conftest import until

ROOT = Path(__file__).resolve().parents[2]


class Fleet:
    """Running agents under the control of their faults."""

    def __init__(self, agents: list[Agent], control: Server, faults: Faults, session: aiohttp.ClientSession) -> None:
        self.agents = {agent.name: agent for agent in agents}
        self.control = control.url
        self.faults = faults
        self.session = session

    async def call(self, agent: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        headers, body = wire.request(tool, arguments, "test")
        url = f"{self.agents[agent].listener.url}/mcp"
        async with self.session.post(url, json=body, headers=headers) as response:
            return wire.result(response.content_type, await response.text())

    async def request(self, method: str, path: str, **headers: str) -> tuple[int, str]:
        async with self.session.request(method, f"{self.control}{path}", headers=headers) as response:
            return response.status, await response.text()


@pytest.fixture
async def fleet(session: aiohttp.ClientSession) -> AsyncIterator[Fleet]:
    conduct = Conduct()
    agents = build(conduct, "127.0.0.1", [0] * len(names()))
    await asyncio.gather(*(agent.listener.open() for agent in agents))
    intruder = Intruder("http://127.0.0.1:9/mcp", "http://127.0.0.1:9/token", "secret", "http://localhost", 0.01)
    faults = Faults(effects(agents, conduct, intruder))
    control = await serve(control_app(faults))
    yield Fleet(agents, control, faults, session)
    await faults.heal_all()
    await control.close()
    await asyncio.gather(*(agent.listener.close() for agent in agents))


async def test_agent_down_closes_one_planner_and_heal_opens_it(fleet: Fleet) -> None:
    await ask(fleet.control, "POST", "/faults/agent-down")
    with pytest.raises(aiohttp.ClientConnectionError):
        await fleet.call(DOWN_AGENT, "create_plan", {"goal": "a"})
    assert await fleet.call("planner-1", "create_plan", {"goal": "a"})
    assert await ask(fleet.control, "DELETE", "/faults/agent-down") == {}
    assert await fleet.call(DOWN_AGENT, "create_plan", {"goal": "a"})


async def test_agent_slow_delays_one_planner_only() -> None:
    conduct = Conduct()
    agents = build(conduct, "127.0.0.1", [0] * len(names()))
    faults = Faults(effects(agents, conduct, Intruder("", "", "", "")))
    await faults.break_(Fault.AGENT_SLOW)
    assert conduct.delay_seconds == {SLOW_AGENT: SLOW_SECONDS}
    await faults.heal(Fault.AGENT_SLOW)
    assert conduct.delay_seconds == {}


async def test_a_delayed_agent_answers_late(session: aiohttp.ClientSession) -> None:
    conduct = Conduct()
    (agent, *_) = build(conduct, "127.0.0.1", [0] * len(names()))
    await agent.listener.open()
    headers, body = wire.request("workflow_status", {"run_id": "x"}, "test")
    conduct.delay_seconds = {agent.name: 0.3}
    began = time.monotonic()
    async with session.post(f"{agent.listener.url}/mcp", json=body, headers=headers) as response:
        assert response.status == 200
    assert time.monotonic() - began >= 0.3
    await agent.listener.close()


async def test_tool_errors_fail_a_quarter_of_the_calls_of_every_agent(fleet: Fleet) -> None:
    await ask(fleet.control, "POST", "/faults/tool-errors")
    for agent in ("planner-1", "planner-2"):
        failed = [(await fleet.call(agent, "create_plan", {"goal": "a"})).get("isError") for _ in range(FAIL_EVERY * 2)]
        assert failed.count(True) == 2
        assert not any(one and other for one, other in pairwise(failed)), "never twice in a row"
    await ask(fleet.control, "DELETE", "/faults/tool-errors")
    after = [(await fleet.call("planner-1", "create_plan", {"goal": "a"})).get("isError") for _ in range(FAIL_EVERY)]
    assert not any(after)


async def test_workflow_failures_make_every_plan_invalid_without_any_error(fleet: Fleet) -> None:
    plan = {"goal": "", "requirements": [], "steps": []}
    await ask(fleet.control, "POST", "/faults/workflow-failures")
    result = await fleet.call("validator-2", "validate_plan", {"plan": plan})
    assert not result["isError"]
    assert "change_freeze" in {finding["rule"] for finding in result["structuredContent"]["findings"]}
    await ask(fleet.control, "DELETE", "/faults")
    result = await fleet.call("validator-2", "validate_plan", {"plan": plan})
    assert "change_freeze" not in str(result)


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_cpu_burns_at_the_lowest_priority_and_stops_on_heal() -> None:
    burners = Burners(count=2)
    await burners.start()
    await burners.start()
    pids = burners.report()["processes"]
    assert len(pids) == 2
    await until(lambda: all(os.getpriority(os.PRIO_PROCESS, pid) == 19 for pid in pids))
    await burners.stop()
    assert not any(is_running(pid) for pid in pids)
    assert burners.report() == {"processes": []}


def test_one_burner_a_core() -> None:
    assert Burners()._count == os.cpu_count()


async def test_burners_end_when_their_parent_is_killed() -> None:
    program = (
        "import asyncio, sys\nfrom demo.faults.effects import Burners\n"
        "async def main():\n    burners = Burners(2)\n    await burners.start()\n"
        "    print(*burners.report()['processes'], flush=True)\n    await asyncio.sleep(60)\nasyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pids = [int(word) for word in (await parent.stdout.readline()).split()]
    assert len(pids) == 2
    assert all(is_running(pid) for pid in pids)
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    await until(lambda: not any(is_running(pid) for pid in pids))


async def test_breaking_and_healing_twice_is_harmless(fleet: Fleet) -> None:
    for _ in range(2):
        assert list(await ask(fleet.control, "POST", "/faults/agent-down")) == ["agent-down"]
    for _ in range(2):
        assert await ask(fleet.control, "DELETE", "/faults/agent-down") == {}


async def test_the_control_api_tells_what_is_broken_since_when(fleet: Fleet) -> None:
    await ask(fleet.control, "POST", "/faults/bad-tokens")
    await until(lambda: fleet.faults.report()["bad-tokens"]["sent"] > 3)
    active = await ask(fleet.control, "GET", "/faults")
    assert abs(active["bad-tokens"]["since"] - time.time()) < 10
    assert set(active["bad-tokens"]["answers"]) == {"unreachable"}
    assert "bad-tokens" in listing(active)
    assert "sent:" in listing(active)


async def test_the_control_api_tells_prometheus_what_is_broken(fleet: Fleet) -> None:
    await ask(fleet.control, "POST", "/faults/agent-slow")
    status, text = await fleet.request("GET", "/metrics")
    assert status == 200
    assert 'mcp_demo_fault_active{fault="agent-slow"} 1.0' in text
    assert text.count("} 0.0") == len(Fault) - 1
    await ask(fleet.control, "DELETE", "/faults")
    assert "} 1.0" not in (await fleet.request("GET", "/metrics"))[1]


async def test_an_unknown_fault_is_refused_with_the_known_ones(fleet: Fleet) -> None:
    for method in ("POST", "DELETE"):
        status, text = await fleet.request(method, "/faults/no-such")
        assert status == 404
        assert "agent-down" in text


async def test_a_page_in_a_browser_cannot_break_anything(fleet: Fleet) -> None:
    for header in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await fleet.request("POST", "/faults/agent-down", **header))[0] == 403
    assert fleet.faults.report() == {}


async def test_a_control_api_that_is_not_there_is_explained() -> None:
    with pytest.raises(Refused, match="make up"):
        await ask("http://127.0.0.1:9", "GET", "/faults")


async def cli(*arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "demo.faults", *arguments),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_the_command_line_breaks_lists_and_heals(fleet: Fleet) -> None:
    control = ("--control", fleet.control)
    code, out, _ = await cli(*control, "break", "agent-down")
    assert code == 0
    for expected in ("planner-2", "AgentDown", "about 2½ min", "slack, email, pagerduty", "make demo-heal"):
        assert expected in out
    assert "broken for" in (await cli(*control, "list"))[1]
    healed = (await cli(*control, "heal"))[1]
    assert "healed: agent-down" in healed
    assert "may never come" in healed
    assert "nothing was broken" in (await cli(*control, "heal", "cpu"))[1]


async def test_the_command_line_explains_mistakes() -> None:
    code, _, err = await cli("break", "no-such")
    assert code == 2
    assert "there are: agent-down" in err
    code, _, err = await cli("--control", "http://127.0.0.1:9", "list")
    assert (code, "is the demo up?" in err, "Traceback" in err) == (1, True, False)


@pytest.mark.parametrize("fault", list(Fault))
def test_every_fault_tells_its_story(fault: Fault) -> None:
    told = story(fault)
    assert EXPECTATIONS[fault].does in told
    assert f"make demo-heal FAULT={fault}" in told
    assert EXPECTATIONS[fault].alert in told
    assert f"about {about(EXPECTATIONS[fault].message_seconds)} after the break" in told
    assert f"http://localhost:{options.port('incident_desk')}, where it is acknowledged" in told


@pytest.mark.parametrize("fault", list(Fault))
def test_every_fault_tells_that_a_new_start_ends_it(fault: Fault) -> None:
    assert "so does a new start of the demo" in story(fault)


def test_the_intruders_first_expired_token_comes_when_the_story_says() -> None:
    a_round_of_six_kinds = 6 * INTERVAL_SECONDS
    first = about(LEEWAY_SECONDS + a_round_of_six_kinds)
    assert f"reason expired after {first}" in story(Fault.BAD_TOKENS)


def test_times_are_told_as_people_say_them() -> None:
    assert [about(seconds) for seconds in (14, 38, 54, 55, 140, 150, 690)] == [
        *("10 s", "40 s", "50 s", "1 min", "2½ min", "2½ min", "11½ min")
    ]


def test_the_resolved_message_is_told_only_when_there_was_a_message() -> None:
    assert "30 s to 1½ min from now" in ending(Fault.AGENT_DOWN, 200)
    assert "3 min to 4 min from now" in ending(Fault.BAD_TOKENS, 60)
    assert "due about 2½ min" in ending(Fault.AGENT_DOWN, 100)


def seconds(duration: str) -> int:
    """Return the seconds of `90s`, `2m` or `1h`."""
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]


def policies() -> dict[str, dict[str, Any]]:
    """Return every shipped policy by the name of its alert."""
    named: dict[str, dict[str, Any]] = {}
    for file in (ROOT / "rules" / "policies").glob("*.yaml"):
        named |= yaml.safe_load(file.read_text(encoding="utf-8"))["policies"]
    return {alert_name(name): policy for name, policy in named.items()}


def alert_name(name: str) -> str:
    """Return the name of a policy's alert."""
    return "".join(part.capitalize() for part in name.split("_"))


@pytest.mark.parametrize("fault", list(Fault))
def test_what_a_fault_promises_is_what_its_policy_says(fault: Fault) -> None:
    promised, named = EXPECTATIONS[fault], policies()
    policy = named[promised.alert]
    assert sorted(policy["channels"]) == sorted(promised.channels)
    assert policy["severity"] == promised.severity
    assert seconds(policy.get("for", "0s")) == promised.holds_seconds
    assert promised.clears_seconds > seconds(policy.get("keep_firing_for", "0s"))


def routes(route: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a route and every route below it."""
    yield route
    for each in route.get("routes", ()):
        yield from routes(each)


@pytest.mark.parametrize("severity", list(GROUPING))
def test_groups_wait_as_long_as_alertmanager_lets_them(severity: str) -> None:
    text = (ROOT / "alertmanager" / "generated" / "alertmanager.yml").read_text(encoding="utf-8")
    waits = {
        (seconds(route["group_wait"]), seconds(route["group_interval"]))
        for route in routes(yaml.safe_load(text)["route"])
        if f'severity="{severity}"' in route.get("matchers", ()) and "group_wait" in route
    }
    assert waits == {GROUPING[severity]}
