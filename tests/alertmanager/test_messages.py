"""What people read: templates rendered by the real Alertmanager, received as Slack, PagerDuty and mail would."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.message import Message
from pathlib import Path
from typing import Any, Literal

import aiohttp
import pytest

from tests.alertmanager.programs import Receiver, install, receiver, running
from tests.tools import tool

GENERATED = Path("alertmanager/generated/alertmanager.yml")
TEMPLATES = Path("alertmanager/templates")
EXTERNAL = "http://localhost:9093"
STARTED = datetime.now(UTC).replace(microsecond=0)
ACKNOWLEDGE = "http://localhost:9822/acknowledge?alertname=AgentDown&agent_type=planner"
SINCE = f"{STARTED:%Y-%m-%d %H:%M:%S} UTC"
Release = Literal["old", "new"]
both_releases = pytest.mark.parametrize("release", ["old", "new"])


def agent_down(agent: str = "planner-2", *, ended: bool = False, started: datetime = STARTED) -> dict[str, Any]:
    end = datetime.now(UTC) + (timedelta(seconds=-1) if ended else timedelta(hours=1))
    return {
        "labels": {
            "alertname": "AgentDown",
            "agent": agent,
            "agent_type": "planner",
            "severity": "critical",
            "component": "agents",
            "escalation": "immediate",
        },
        "annotations": {
            "summary": f"Agent {agent} (planner) is down",
            "description": f"Every probe of {agent} has failed for at least 2 minutes.",
            "runbook_url": "http://localhost:9820/runbooks/agent_down",
            "dashboard_url": "http://localhost:3000/d/mcp-lookout-agents?var-agent_type=planner",
            "acknowledge_url": "http://localhost:9822/acknowledge",
        },
        "startsAt": started.isoformat(),
        "endsAt": end.isoformat(),
    }


async def send(url: str, alerts: Sequence[dict[str, Any]]) -> None:
    async with aiohttp.ClientSession() as session, session.post(f"{url}/api/v2/alerts", json=alerts) as answer:
        assert answer.status == 200, await answer.text()


@asynccontextmanager
async def stack(folder: Path, release: Release, generated: Path = GENERATED) -> AsyncIterator[tuple[str, Receiver]]:
    async with receiver() as taken:
        config = install(folder, taken, generated, TEMPLATES)
        command: list[str | Path] = [
            tool("alertmanager", release),
            f"--config.file={config}",
            f"--storage.path={folder / 'data'}",
            "--web.listen-address=127.0.0.1:0",
            "--cluster.listen-address=",
            f"--web.external-url={EXTERNAL}",
        ]
        async with running(*command, cwd=folder) as url:
            yield url.replace("/" + EXTERNAL, ""), taken


def reached_all(taken: Receiver, count: int = 1) -> bool:
    return (
        all(len(taken.posts.get(path, [])) >= count for path in ("/slack", "/v2/enqueue")) and len(taken.mails) >= count
    )


def part(mail: Message, kind: str) -> str:
    [found] = [piece for piece in mail.walk() if piece.get_content_type() == kind]
    payload = found.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()


@both_releases
async def test_slack_message_says_what_where_since_when_and_what_to_do(tmp_path: Path, release: Release) -> None:
    async with stack(tmp_path, release) as (url, taken):
        await send(url, [agent_down()])
        await taken.until(reached_all)
    [message] = taken.posts["/slack"]
    assert message["channel"] == "#mcp-alerts"
    [attachment] = message["attachments"]
    assert attachment["title"] == "[CRITICAL] AgentDown: Agent planner-2 (planner) is down"
    assert attachment["text"].strip() == "Every probe of planner-2 has failed for at least 2 minutes."
    assert attachment["color"] == "#c62828"
    assert {field["title"]: field["value"] for field in attachment["fields"]} == {
        "Severity": "critical",
        "Component": "agents",
        "Where": "planner-2",
        "Alert since": SINCE,
    }
    buttons = {action["text"]: action["url"] for action in attachment["actions"]}
    assert buttons["Runbook"] == "http://localhost:9820/runbooks/agent_down"
    assert buttons["Dashboard"] == "http://localhost:3000/d/mcp-lookout-agents?var-agent_type=planner"
    assert buttons["Acknowledge"] == ACKNOWLEDGE
    assert buttons["Silence"].startswith(f"{EXTERNAL}/#/silences/new?filter=%7Balertname%3D%22AgentDown%22%2Cagent%3D")


@both_releases
async def test_pagerduty_event_maps_the_severity_and_carries_links_and_details(
    tmp_path: Path, release: Release
) -> None:
    async with stack(tmp_path, release) as (url, taken):
        await send(url, [agent_down()])
        await taken.until(reached_all)
    [event] = taken.posts["/v2/enqueue"]
    assert event["routing_key"] == "0123456789abcdef0123456789abcdef"
    assert event["event_action"] == "trigger"
    assert event["payload"]["severity"] == "critical"
    assert event["payload"]["summary"] == "[CRITICAL] AgentDown: Agent planner-2 (planner) is down"
    assert event["payload"]["class"] == "AgentDown"
    assert event["payload"]["component"] == "agents"
    assert event["payload"]["group"] == "planner"
    details = event["payload"]["custom_details"]
    assert details["alert since"] == SINCE
    assert details["escalation"] == "immediate"
    assert "Every probe of planner-2" in details["firing"]
    links = {link["text"]: link["href"] for link in event["links"]}
    assert links["Runbook"] == "http://localhost:9820/runbooks/agent_down"
    assert set(links) == {"Runbook", "Dashboard", "Acknowledge", "Alertmanager", "Silence"}
    assert links["Acknowledge"] == ACKNOWLEDGE


@both_releases
async def test_email_has_html_and_text_with_all_links(tmp_path: Path, release: Release) -> None:
    async with stack(tmp_path, release) as (url, taken):
        await send(url, [agent_down()])
        await taken.until(reached_all)
    [mail] = taken.mails
    assert taken.recipients == ["on-call@lookout.example"]
    assert mail["Subject"] == "[CRITICAL] AgentDown: Agent planner-2 (planner) is down"
    for kind in ("text/plain", "text/html"):
        text = part(mail, kind)
        for wanted in (
            "planner-2",
            SINCE,
            "http://localhost:9820/runbooks/agent_down",
            "http://localhost:3000/d/mcp-lookout-agents?var-agent_type=planner",
            ACKNOWLEDGE if kind == "text/plain" else ACKNOWLEDGE.replace("&", "&amp;"),
            f"{EXTERNAL}/#/alerts?filter=",
            f"{EXTERNAL}/#/silences/new?filter=",
        ):
            assert wanted in text, (kind, wanted)


@both_releases
async def test_every_channel_is_told_of_the_end_with_the_same_incident_key(tmp_path: Path, release: Release) -> None:
    async with stack(tmp_path, release) as (url, taken):
        await send(url, [agent_down()])
        await taken.until(reached_all)
        await send(url, [agent_down(ended=True)])
        await taken.until(lambda seen: reached_all(seen, 2))
    begin, end = taken.posts["/v2/enqueue"]
    assert end["event_action"] == "resolve"
    assert end["dedup_key"] == begin["dedup_key"]
    [attachment] = taken.posts["/slack"][1]["attachments"]
    assert attachment["color"] == "#2e7d32"


@both_releases
async def test_the_end_is_told_as_an_end_with_how_long_it_lasted_and_nothing_to_silence(
    tmp_path: Path, release: Release
) -> None:
    started = datetime.now(UTC) - timedelta(minutes=5)
    async with stack(tmp_path, release) as (url, taken):
        await send(url, [agent_down(started=started)])
        await taken.until(reached_all)
        await send(url, [agent_down(started=started, ended=True)])
        await taken.until(lambda seen: reached_all(seen, 2))
    [attachment] = taken.posts["/slack"][1]["attachments"]
    assert re.fullmatch(r"\[RESOLVED\] AgentDown: planner-2, resolved after [45]m\d+s", attachment["title"])
    assert attachment["text"].startswith("Ended: ")
    assert "It was: Every probe of planner-2 has failed" in attachment["text"]
    assert [action["text"] for action in attachment["actions"]] == ["Runbook", "Dashboard", "Incident", "Alerts"]
    assert taken.mails[1]["Subject"] == attachment["title"]
    for kind in ("text/plain", "text/html"):
        text = part(taken.mails[1], kind)
        assert "It was: Every probe of planner-2 has failed" in text
        assert "is down" not in text
        assert "Silence" not in text


@both_releases
async def test_what_ended_and_what_fires_stand_apart_in_one_message(tmp_path: Path, release: Release) -> None:
    async with stack(tmp_path, release) as (url, taken):
        await send(url, [agent_down("planner-1"), agent_down("planner-2")])
        await taken.until(reached_all)
        await send(url, [agent_down("planner-1", ended=True), agent_down("planner-2")])
        await taken.until(lambda seen: reached_all(seen, 2))
    [attachment] = taken.posts["/slack"][1]["attachments"]
    assert attachment["title"] == "[CRITICAL] AgentDown: 1 firing, 1 resolved"
    firing, ended = attachment["text"].split("Resolved:")
    assert "• Agent planner-2 (planner) is down (alert since" in firing
    assert "• planner-1, from " in ended
    assert "It was: Every probe of planner-1" in ended
    assert [action["text"] for action in attachment["actions"]][-1] == "Silence"


@both_releases
@pytest.mark.parametrize("count", [10, 200])
async def test_a_group_is_one_readable_message(tmp_path: Path, release: Release, count: int) -> None:
    async with stack(tmp_path, release) as (url, taken):
        await send(url, [agent_down(f"planner-{number}", started=datetime.now(UTC)) for number in range(count)])
        await taken.until(reached_all)
    [message] = taken.posts["/slack"]
    [attachment] = message["attachments"]
    assert attachment["title"] == f"[CRITICAL] AgentDown: {count} firing"
    assert attachment["text"].count("• ") == 10
    assert (f"the first 10 of {count}" in attachment["text"]) == (count > 10)
    assert len(attachment["text"]) < 3000
    assert f"{count} places, planner" in [field["value"] for field in attachment["fields"]]
    [mail] = taken.mails
    assert part(mail, "text/html").count("<li ") == 10
    assert len(taken.posts["/v2/enqueue"]) == 1


@both_releases
async def test_an_alert_without_annotations_or_severity_still_arrives(tmp_path: Path, release: Release) -> None:
    async with stack(tmp_path, release) as (url, taken):
        await send(url, [{"labels": {"alertname": "SomebodysOwn"}}])
        await taken.until(lambda seen: "/slack" in seen.posts)

    [attachment] = taken.posts["/slack"][0]["attachments"]
    assert "SomebodysOwn" in attachment["title"]
    assert {action["text"]: action["url"] for action in attachment["actions"]}["Runbook"] == EXTERNAL


@both_releases
async def test_errors_of_several_agent_types_are_one_message_a_channel(tmp_path: Path, release: Release) -> None:
    kinds = ("planner", "validator", "programmer")
    board = "http://localhost:3000/d/mcp-lookout-operations"
    alerts = [
        {
            "labels": {"alertname": "HighErrorRate", "agent_type": kind, "severity": "major", "component": "agents"},
            "annotations": {"summary": f"{kind} fails", "dashboard_url": f"{board}?var-agent_type={kind}"},
        }
        for kind in kinds
    ]
    async with stack(tmp_path, release) as (url, taken):
        await send(url, [*alerts, agent_down()])
        await taken.until(lambda seen: len(seen.posts.get("/slack", ())) == 2 and len(seen.mails) == 2)
    attachments = [post["attachments"][0] for post in taken.posts["/slack"]]
    [errors] = [each for each in attachments if "HighErrorRate" in each["title"]]
    assert errors["title"] == "[MAJOR] HighErrorRate: 2 firing"
    assert all(f"{kind} fails" in errors["text"] for kind in kinds[1:])
    assert {action["text"]: action["url"] for action in errors["actions"]}["Dashboard"] == board
