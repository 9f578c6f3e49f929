"""An agent that is down silences the symptoms it causes, and nothing else; asked of the real Alertmanager."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from tests.alertmanager.programs import DEADLINE_SECONDS
from tests.alertmanager.test_messages import Release, agent_down, both_releases, send, stack


def high_error_rate(agent_type: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "labels": {"alertname": "HighErrorRate", "agent_type": agent_type, "severity": "major", "component": "agents"},
        "annotations": {"summary": f"{agent_type} fails"},
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(hours=1)).isoformat(),
    }


async def inhibited(url: str, alert: str, agent_type: str) -> bool:
    query = {"filter": [f'alertname="{alert}"', f'agent_type="{agent_type}"']}
    async with aiohttp.ClientSession() as session, session.get(f"{url}/api/v2/alerts", params=query) as answer:
        [found] = await answer.json()
    return bool(found["status"]["inhibitedBy"])


@both_releases
async def test_errors_of_the_same_agent_type_are_symptoms_of_a_dead_agent(tmp_path: Path, release: Release) -> None:
    async with stack(tmp_path, release) as (url, taken):
        await send(url, [agent_down(), high_error_rate("planner"), high_error_rate("validator")])
        await taken.until(lambda seen: len(seen.posts.get("/slack", [])) == 2)
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await inhibited(url, "HighErrorRate", "planner"):
                await asyncio.sleep(0.05)
        assert not await inhibited(url, "HighErrorRate", "validator")
        assert not await inhibited(url, "AgentDown", "planner")
    titles = {post["attachments"][0]["title"] for post in taken.posts["/slack"]}
    assert titles == {
        "[CRITICAL] AgentDown: Agent planner-2 (planner) is down",
        "[MAJOR] HighErrorRate: validator fails",
    }
