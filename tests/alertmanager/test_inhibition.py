"""A cause silences the symptoms it brings, and nothing else; asked of the real Alertmanager."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.alertmanager.programs import DEADLINE_SECONDS, Receiver
from tests.alertmanager.test_messages import Release, agent_down, both_releases, send, stack


def alert(name: str, severity: str = "major", **labels: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "labels": {"alertname": name, **labels, "severity": severity, "component": "agents"},
        "annotations": {"summary": f"{name} {' '.join(labels.values())}"},
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(hours=1)).isoformat(),
    }


async def inhibited(url: str, name: str, **labels: str) -> bool:
    query = {"filter": [f'alertname="{name}"', *(f'{label}="{value}"' for label, value in labels.items())]}
    async with aiohttp.ClientSession() as session, session.get(f"{url}/api/v2/alerts", params=query) as answer:
        [found] = await answer.json()
    return bool(found["status"]["inhibitedBy"])


async def until_inhibited(url: str, name: str, **labels: str) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await inhibited(url, name, **labels):
            await asyncio.sleep(0.05)


async def send_and_wait(url: str, taken: Receiver, cause: dict[str, Any]) -> None:
    """Send the cause and wait until it is told: Alertmanager judges the alerts of one batch in no certain order."""
    await send(url, [cause])
    await taken.until(lambda seen: len(seen.posts.get("/slack", [])) == 1)


@both_releases
async def test_errors_of_the_same_agent_type_are_symptoms_of_a_dead_agent(tmp_path: Path, release: Release) -> None:
    errors = [alert("HighErrorRate", agent_type=each) for each in ("planner", "validator")]
    async with stack(tmp_path, release) as (url, taken):
        await send_and_wait(url, taken, agent_down())
        await send(url, errors)
        await taken.until(lambda seen: len(seen.posts.get("/slack", [])) == 2)
        await until_inhibited(url, "HighErrorRate", agent_type="planner")
        assert not await inhibited(url, "HighErrorRate", agent_type="validator")
        assert not await inhibited(url, "AgentDown", agent_type="planner")
    titles = {post["attachments"][0]["title"] for post in taken.posts["/slack"]}
    assert titles == {
        "[CRITICAL] AgentDown: Agent planner-2 (planner) is down",
        "[MAJOR] HighErrorRate: HighErrorRate validator",
    }


PLANNER = {"agent": "planner-2", "agent_type": "planner"}


@both_releases
@pytest.mark.parametrize(
    ("cause", "symptom", "other"),
    [
        (
            alert("AgentDown", "critical", **PLANNER),
            alert("AgentAvailabilityFastBurn", "critical", slo="agent_availability"),
            alert("WorkflowSuccessFastBurn", slo="workflow_success"),
        ),
        (
            alert("AgentSlow", "minor", **PLANNER),
            alert("AgentDegraded", "minor", agent_type="planner"),
            alert("AgentDegraded", "minor", agent_type="validator"),
        ),
        (
            alert("WorkflowFailure", workflow="nightly"),
            alert("WorkflowSuccessFastBurn", slo="workflow_success"),
            alert("AgentAvailabilityFastBurn", "critical", slo="agent_availability"),
        ),
    ],
    ids=["a dead agent", "a slow agent", "a failing workflow"],
)
async def test_a_cause_is_told_once_and_another_cause_is_told_too(
    tmp_path: Path, release: Release, cause: dict[str, Any], symptom: dict[str, Any], other: dict[str, Any]
) -> None:
    async with stack(tmp_path, release) as (url, taken):
        await send_and_wait(url, taken, cause)
        await send(url, [symptom, other])
        await taken.until(lambda seen: len(seen.posts.get("/slack", [])) == 2)
        labels = {key: value for key, value in symptom["labels"].items() if key in ("slo", "agent_type")}
        await until_inhibited(url, symptom["labels"]["alertname"], **labels)
    told = {post["attachments"][0]["fallback"].split(": ")[1] for post in taken.posts["/slack"]}
    assert told == {cause["annotations"]["summary"], other["annotations"]["summary"]}
