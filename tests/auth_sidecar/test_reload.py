"""What a reload puts into force holds for everything decided afterwards, also for what was under way."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from auth_sidecar.app import Sidecar
from tests.auth_sidecar import sidecars
from tests.auth_sidecar.agents import Echo
from tests.auth_sidecar.issuer import mint
from tests.auth_sidecar.sidecars import Start, call, half_sent, post, records

Change = Callable[[dict[str, Any]], None]


async def reload_with(sidecar: Sidecar, folder: Path, change: Change) -> None:
    """Change the configuration of a sidecar that runs and put it into force."""
    config = yaml.safe_load((folder / "sidecar.yaml").read_text())
    change(config)
    sidecars.write(folder, config)
    assert await sidecar.reloader.reload() == ()


def take_the_right_away(config: dict[str, Any]) -> None:
    config["operations"]["tools"]["search_knowledge"] = "workflow:delete"


async def test_a_request_that_came_before_a_reload_is_judged_after_it_and_spoils_nothing(
    sidecar: Sidecar, tmp_path: Path
) -> None:
    token = mint()
    assert (await post(sidecar, token, call("search_knowledge")))[0] == 200
    async with half_sent(sidecar, token, "search_knowledge") as finish:
        await reload_with(sidecar, tmp_path, take_the_right_away)
        assert await finish() == 403
    # Its decision is remembered for all who hold the same roles.
    assert (await post(sidecar, mint(sub="somebody-else"), call("search_knowledge")))[0] == 403


async def test_shadow_mode_ends_with_the_reload_that_ends_it(start_sidecar: Start, tmp_path: Path, echo: Echo) -> None:
    route = sidecars.configuration("", echo.url)["routes"][0]
    sidecar, token = await start_sidecar(routes=[{**route, "shadow": True}]), mint()
    async with half_sent(sidecar, token, "delete_everything") as finish:
        await reload_with(sidecar, tmp_path, lambda config: config["routes"][0].pop("shadow"))
        assert await finish() == 403
    assert (await post(sidecar, token, call("delete_everything")))[0] == 403
    assert [record.get("shadow") for record in records(tmp_path)] == [None, None]


async def test_an_endpoint_that_a_reload_takes_away_is_gone_for_requests_under_way(
    sidecar: Sidecar, tmp_path: Path, echo: Echo
) -> None:
    async with half_sent(sidecar, mint(), "search_knowledge") as finish:
        await reload_with(sidecar, tmp_path, lambda config: config["routes"][0].update(path="/elsewhere/mcp"))
        assert await finish() == 404
    assert echo.seen == []
    assert "agent" not in records(tmp_path)[-1]


async def test_a_request_under_way_goes_where_its_endpoint_leads_when_it_is_judged(
    sidecar: Sidecar, tmp_path: Path, echo: Echo
) -> None:
    other = await Echo().start()
    async with half_sent(sidecar, mint(), "search_knowledge") as finish:
        await reload_with(sidecar, tmp_path, lambda config: config["routes"][0].update(upstream=other.url))
        assert await finish() == 200
    await other.stop()
    assert (len(echo.seen), len(other.seen)) == (0, 1)


async def test_a_list_on_a_stream_from_before_a_reload_is_filtered_by_what_is_in_force(
    sidecar: Sidecar, tmp_path: Path, echo: Echo
) -> None:
    go, answer = asyncio.Event(), echo.answer

    async def stream(request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            return await answer(request)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": hello\n\n")
        await go.wait()
        listed = {"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "search_knowledge"}]}}
        await response.write(b"data: " + json.dumps(listed).encode() + b"\n\n")
        return response

    echo.answer = stream
    headers = {"Authorization": f"Bearer {mint()}", "Accept": "text/event-stream"}
    async with aiohttp.ClientSession() as session, session.get(f"{sidecar.url}/kb/mcp", headers=headers) as opened:
        await opened.content.readuntil(b"\n\n")
        await reload_with(sidecar, tmp_path, take_the_right_away)
        go.set()
        assert json.loads((await opened.content.read()).removeprefix(b"data: "))["result"]["tools"] == []
    assert (await post(sidecar, mint(), call("search_knowledge")))[0] == 403
