"""The agents behind the official MCP client, in both protocol eras."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from mcp.client import Client

from contract.vocabulary import AGENT_TYPES
from demo import wire
from demo.agents.conduct import Conduct
from demo.agents.fleet import Agent, build, names

TOOLS = {
    "orchestrator": {"start_workflow", "workflow_status"},
    "planner": {"create_plan", "revise_plan"},
    "validator": {"validate_plan", "validate_code"},
    "programmer": {"write_code", "refine_code"},
    "documentation": {"write_document", "search_documents"},
    "knowledge_base": {"search_knowledge", "store_knowledge"},
}
ERAS = ("2026-07-28", "legacy")
GOAL = "collect the events, remove duplicates and publish the report"


class Fleet:
    """Running agents and their conduct."""

    def __init__(self, agents: list[Agent], conduct: Conduct) -> None:
        self.conduct = conduct
        self.agents = {agent.name: agent for agent in agents}

    def url(self, name: str) -> str:
        return f"{self.agents[name].listener.url}/mcp"

    def client(self, name: str, mode: str = "2026-07-28") -> Client:
        return Client(self.url(name), mode=mode, cache=None)

    async def call(self, name: str, tool: str, arguments: dict[str, Any], mode: str = "2026-07-28") -> dict[str, Any]:
        async with self.client(name, mode) as client:
            result = await client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        assert isinstance(result.structured_content, dict)
        return result.structured_content


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    conduct = Conduct()
    agents = build(conduct, "127.0.0.1", [0] * len(names()))
    await asyncio.gather(*(agent.listener.open() for agent in agents))
    yield Fleet(agents, conduct)
    await asyncio.gather(*(agent.listener.close() for agent in agents))


def test_two_agents_of_each_type_in_the_order_of_their_ports() -> None:
    assert names()[:4] == ["orchestrator-1", "orchestrator-2", "planner-1", "planner-2"]
    assert names()[-1] == "knowledge_base-2"
    assert len(names()) == 12
    assert set(TOOLS) == set(AGENT_TYPES)


@pytest.mark.parametrize("mode", ERAS)
async def test_every_agent_tells_its_name_and_its_tools_in_both_eras(fleet: Fleet, mode: str) -> None:
    for name, agent in fleet.agents.items():
        async with fleet.client(name, mode) as client:
            listed = (await client.list_tools()).tools
            assert {tool.name for tool in listed} == TOOLS[agent.agent_type]
            assert all(tool.description and tool.output_schema for tool in listed)
            if mode == "legacy":
                assert client.server_info is not None
                assert client.server_info.name == name


@pytest.mark.parametrize("mode", ERAS)
async def test_a_goal_becomes_a_valid_plan_and_valid_code(fleet: Fleet, mode: str) -> None:
    plan = await fleet.call("planner-1", "create_plan", {"goal": GOAL, "knowledge": ["earlier"]}, mode)
    for _ in range(5):
        verdict = await fleet.call("validator-1", "validate_plan", {"plan": plan}, mode)
        if verdict["valid"]:
            break
        plan = await fleet.call("planner-2", "revise_plan", {"plan": plan, "findings": verdict["findings"]}, mode)
    assert verdict["valid"]
    code = await fleet.call("programmer-1", "write_code", {"plan": plan}, mode)
    for _ in range(5):
        verdict = await fleet.call("validator-2", "validate_code", {"code": code, "plan": plan}, mode)
        if verdict["valid"]:
            break
        change = {"code": code, "findings": verdict["findings"]}
        code = await fleet.call("programmer-2", "refine_code", change, mode)
    assert verdict["valid"]
    assert "def remove_duplicates" in code["source"]


async def test_either_orchestrator_knows_a_run(fleet: Fleet) -> None:
    start = {"run_id": "run-1", "workflow": "pipeline_step"}
    await fleet.call("orchestrator-1", "start_workflow", start)
    await fleet.call("orchestrator-2", "start_workflow", {**start, "phase": "implementation"})
    status = await fleet.call("orchestrator-1", "workflow_status", {"run_id": "run-1"})
    assert (status["known"], status["phase"], status["workflow"]) == (True, "implementation", "pipeline_step")
    assert not (await fleet.call("orchestrator-1", "workflow_status", {"run_id": "run-2"}))["known"]


async def test_texts_are_found_again_in_their_own_library(fleet: Fleet) -> None:
    await fleet.call("documentation-1", "write_document", {"title": "Refunds", "text": "how refunds are flagged"})
    await fleet.call("knowledge_base-1", "store_knowledge", {"topic": "Orders", "statement": "orders have duplicates"})
    found = await fleet.call("documentation-1", "search_documents", {"query": "flagged refunds"})
    assert [hit["title"] for hit in found["hits"]] == ["Refunds"]
    assert (await fleet.call("documentation-2", "search_documents", {"query": "refunds"}))["hits"] == []
    found = await fleet.call("knowledge_base-1", "search_knowledge", {"query": "duplicates"})
    assert found["hits"][0]["title"] == "Orders"


async def test_wrong_arguments_and_unknown_tools_are_tool_errors(fleet: Fleet) -> None:
    async with fleet.client("planner-1") as client:
        for tool, arguments in (("create_plan", {}), ("create_plan", {"goal": "x" * 3000}), ("no_such_tool", {})):
            assert (await client.call_tool(tool, arguments)).is_error


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("Host", "evil.example", 421),
        ("Host", "evil.example:9830", 421),
        ("Origin", "http://evil.example", 403),
        ("Host", "agents:9830", 200),
        ("Host", "localhost:1234", 200),
        ("Origin", "http://localhost:9830", 200),
    ],
)
async def test_only_the_hosts_of_the_demo_are_answered(
    fleet: Fleet, session: aiohttp.ClientSession, header: str, value: str, status: int
) -> None:
    headers, body = wire.request("workflow_status", {"run_id": "x"}, "test")
    async with session.post(fleet.url("orchestrator-1"), json=body, headers={**headers, header: value}) as response:
        assert response.status == status


async def test_the_lean_call_of_the_engine_is_understood(fleet: Fleet, session: aiohttp.ClientSession) -> None:
    headers, body = wire.request("create_plan", {"goal": "a, b"}, "test")
    async with session.post(fleet.url("planner-1"), json=body, headers=headers) as response:
        result = wire.result(response.content_type, await response.text())
    assert result["structuredContent"]["requirements"] == ["a", "b"]


def test_an_answer_is_read_from_json_and_from_an_event_stream() -> None:
    message = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"a": 1}})
    stream = f'event: message\r\ndata: {{"method": "notifications/x"}}\r\n\r\n: comment\n\ndata: {message}\n\n'
    assert wire.result("application/json", message) == {"a": 1}
    assert wire.result("text/event-stream", stream) == {"a": 1}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"result": 1}', '{"error": {"code": -32601}}', "<html>"])
def test_what_is_no_result_is_a_protocol_error(text: str) -> None:
    for content_type in ("application/json", "text/event-stream"):
        with pytest.raises(wire.ProtocolError):
            wire.result(content_type, text)


async def test_a_closed_agent_is_gone_and_comes_back_on_its_port(fleet: Fleet, session: aiohttp.ClientSession) -> None:
    listener = fleet.agents["planner-2"].listener
    url = fleet.url("planner-2")
    headers, body = wire.request("create_plan", {"goal": "a"}, "test")
    async with session.post(url, json=body, headers=headers) as response:
        assert response.status == 200
    await listener.close()
    await listener.close()
    assert not listener.is_open
    with pytest.raises(aiohttp.ClientError):
        await session.post(url, json=body, headers=headers)
    await listener.open()
    await listener.open()
    assert fleet.url("planner-2") == url
    async with session.post(url, json=body, headers=headers) as response:
        assert response.status == 200


async def test_closing_ends_open_streams_too(fleet: Fleet) -> None:
    async with fleet.client("planner-2", "legacy") as client:
        await client.list_tools()
        async with asyncio.timeout(5):
            await fleet.agents["planner-2"].listener.close()


async def test_a_taken_port_is_an_error_at_opening(fleet: Fleet) -> None:
    port = fleet.agents["planner-1"].listener.port
    (other, *_) = build(Conduct(), "127.0.0.1", [port] * len(names()))
    with pytest.raises(OSError, match="in use"):
        await other.listener.open()
    assert not other.listener.is_open
