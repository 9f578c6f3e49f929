"""One table through both adapters: equal decisions and counters, one record each, a client that learns nothing."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.auth_sidecar.agents import Echo
from tests.auth_sidecar.cases import CASES, Case
from tests.auth_sidecar.sidecars import Start, call, records, samples

META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
EVENTS = {"success": "authentications", "allow": "authorizations"}


def modern(tool: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a modern tools/call and its headers."""
    headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": tool}
    return call(tool, params={"name": tool, "arguments": {}, "_meta": META}), headers


def routes(echo: Echo) -> list[dict[str, Any]]:
    """Return a route whose server validates headers, so that forward-auth may decide by them."""
    route = {"path": "/kb/mcp", "agent": "kb-1", "agent_type": "knowledge_base", "upstream": echo.url}
    return [{**route, "headers_are_validated": True}]


@pytest.mark.parametrize("adapter", ["proxy", "forward"])
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_every_adapter_decides_alike(
    case: Case, adapter: str, start_sidecar: Start, echo: Echo, tmp_path: Path
) -> None:
    sidecar = await start_sidecar(routes=routes(echo), forward_auth={"port": 0})
    message, headers = modern(case.tool)
    authorization = case.authorization()
    if authorization is not None:
        headers["Authorization"] = authorization
    url = f"{sidecar.url}/kb/mcp"
    if adapter == "forward":
        url = sidecar.forward_url
        headers |= {"X-Forwarded-Method": "POST", "X-Forwarded-Uri": "/kb/mcp", "X-Forwarded-Host": "localhost"}
    async with aiohttp.ClientSession() as session:
        response = await session.post(url, json=message if adapter == "proxy" else None, headers=headers)
        text = await response.text()
    (record,) = records(tmp_path)
    assert (response.status, record["reason"]) == (case.status, case.reason)
    assert (record["mode"], record["status"]) == (adapter, case.status)
    assert len(echo.seen) == (adapter == "proxy" and case.status == 200)
    assert case.reason in ("ok", "invalid_token") or case.reason not in text + str(response.headers)
    assert samples(sidecar.registry, "mcp_audit_events_total", event=record["event"]) == 1
    counted = "authentications" if record["event"].startswith("auth_") else "authorizations"
    assert samples(sidecar.registry, f"mcp_auth_{counted}_total", reason=case.reason) == 1
    assert (authorization or "nothing").split(" ")[-1] not in json.dumps(record)


async def test_a_client_cannot_tell_one_bad_token_from_another(start_sidecar: Start) -> None:
    sidecar = await start_sidecar()
    seen = set()
    async with aiohttp.ClientSession() as session:
        for case in CASES:
            if case.status == 401 and case.reason != "missing_auth_header":
                headers = {"Authorization": str(case.authorization())}
                response = await session.post(f"{sidecar.url}/kb/mcp", json=call("x"), headers=headers)
                seen.add((response.status, response.headers["WWW-Authenticate"], await response.text()))
    assert len(seen) == 1
