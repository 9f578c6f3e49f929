"""What Slack's incoming webhooks take and refuse, asked of the running sink."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote_plus

import aiohttp
import pytest

from contract.web import Server, serve
from demo.sink.app import Sink
from demo.sink.markup import slack_text
from demo.sink.pace import Pace
from demo.sink.store import Store
from tests.demo.conftest import ROUTING_KEY, SLACK_PATH

ALERT = {
    "channel": "#mcp-alerts",
    "username": "MCP Lookout",
    "attachments": [
        {
            "title": "[CRITICAL] AgentDown: Agent planner-2 (planner) is down",
            "title_link": "http://localhost:9093/#/alerts?filter=x",
            "text": "Every probe of planner-2 has failed &amp; more.",
            "fallback": "[CRITICAL] AgentDown",
            "fields": [{"title": "Severity", "value": "critical", "short": True}],
            "actions": [{"type": "button", "text": "Runbook", "url": "http://localhost:9820/runbooks/agent_down"}],
        }
    ],
}
SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "hello"}}


class Running:
    """A sink and what it keeps."""

    def __init__(self, server: Server, store: Store, session: aiohttp.ClientSession) -> None:
        self.url = server.url
        self.store = store
        self.session = session

    async def post(self, body: Any, path: str = SLACK_PATH, **headers: str) -> tuple[int, str]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Content-Type": "application/json", **headers}
        async with self.session.post(f"{self.url}{path}", data=data, headers=given) as response:
            return response.status, await response.text()


@pytest.fixture
async def sink(session: aiohttp.ClientSession) -> AsyncIterator[Running]:
    store = Store()
    server = await serve(Sink(store, SLACK_PATH, ROUTING_KEY, Pace(burst=100)).app())
    yield Running(server, store, session)
    await server.close()


async def test_an_alertmanager_message_is_taken_and_read(sink: Running) -> None:
    assert await sink.post(ALERT) == (200, "ok")
    (message,) = sink.store.all()
    assert (message.channel, message.to, message.refusal) == ("slack", "#mcp-alerts", "")
    assert (message.alert, message.state, message.severity) == ("AgentDown", "firing", "critical")
    assert message.title == "[CRITICAL] AgentDown: Agent planner-2 (planner) is down"
    assert message.fields == (("Severity", "critical"),)
    assert message.links == (
        ("Alert", "http://localhost:9093/#/alerts?filter=x"),
        ("Runbook", "http://localhost:9820/runbooks/agent_down"),
    )


async def test_a_resolved_message_keeps_its_severity(sink: Running) -> None:
    resolved = json.loads(json.dumps(ALERT).replace("[CRITICAL]", "[RESOLVED]"))
    await sink.post(resolved)
    (message,) = sink.store.all()
    assert (message.state, message.severity) == ("resolved", "critical")


async def test_a_plain_text_is_read_without_slacks_marks(sink: Running) -> None:
    assert await sink.post({"text": "*Done*: <https://x.example/?a=1&amp;b=2|the log> &lt;b&gt;"}) == (200, "ok")
    (message,) = sink.store.all()
    assert message.title == "Done: the log <b>"
    assert message.links == (("the log", "https://x.example/?a=1&b=2"),)


async def test_stars_make_bold_only_where_an_attachment_says_so(sink: Running) -> None:
    attachment = {"title": "*t*", "text": "*x*", "fields": [{"title": "Where", "value": "*y*"}]}
    await sink.post({"attachments": [attachment]})
    await sink.post({"attachments": [{**attachment, "mrkdwn_in": ["text", "fields"]}]})
    literal, formatted = sink.store.all()
    assert (literal.title, literal.fields) == ("*t*", (("Where", "*y*"),))
    assert (formatted.title, formatted.fields) == ("*t*", (("Where", "y"),))
    assert (slack_text(literal.text), slack_text(formatted.text)) == ("*x*", "<strong>x</strong>")


async def test_whom_a_message_calls_is_seen_and_what_is_escaped_calls_nobody(sink: Running) -> None:
    fields = [{"title": "Where", "value": text} for text in ("<!here>", "&lt;!here&gt;")]
    await sink.post({"attachments": [{"title": "<!channel> &lt;!channel&gt;", "fields": fields}]})
    (message,) = sink.store.all()
    assert message.title == "@channel <!channel>"
    assert [value for _, value in message.fields] == ["@here", "<!here>"]


async def test_a_form_with_a_payload_is_taken(sink: Running) -> None:
    body = f"payload={quote_plus(json.dumps(ALERT))}".encode()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert await sink.post(body, **form) == (200, "ok")
    assert await sink.post(b"other=1", **form) == (400, "invalid_payload")


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (b"not json", "invalid_payload"),
        (b"\xff\xfe", "invalid_payload"),
        (b"[" * 100_000, "invalid_payload"),
        ([1], "invalid_payload"),
        ({"text": 1}, "invalid_payload"),
        ({}, "no_text"),
        ({"text": ""}, "no_text"),
        ({"attachments": []}, "no_text"),
        ({"blocks": "[]"}, "invalid_blocks_format"),
        ({"blocks": ["x"]}, "invalid_blocks_format"),
        ({"blocks": [{"type": "no-such"}]}, "invalid_blocks"),
        ({"blocks": [SECTION] * 51}, "invalid_blocks"),
        ({"blocks": [{"type": "section"}]}, "invalid_blocks"),
        ({"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "section", "text": "bare"}]}, "invalid_blocks"),
        ({"blocks": [{"type": "section", "fields": [SECTION["text"]] * 11}]}, "invalid_blocks"),
        ({"blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "context", "elements": [SECTION["text"]] * 11}]}, "invalid_blocks"),
        ({"blocks": [{"type": "actions", "elements": []}]}, "invalid_blocks"),
        ({"blocks": [{"type": "image", "image_url": "https://x.example/i.png"}]}, "invalid_blocks"),
        ({"blocks": [{**SECTION, "block_id": "x" * 256}]}, "invalid_blocks"),
        ({"attachments": "x"}, "invalid_attachments"),
        ({"attachments": [{"blocks": [{"type": "no-such"}]}]}, "invalid_attachments"),
        ({"attachments": [{"fields": ["x"]}]}, "invalid_attachments"),
        ({"attachments": [{"text": "x"}] * 101}, "too_many_attachments"),
    ],
)
async def test_what_slack_refuses_is_refused_with_its_word_and_kept(sink: Running, body: Any, refusal: str) -> None:
    assert await sink.post(body) == (400, refusal)
    (message,) = sink.store.all()
    assert message.refusal == refusal


@pytest.mark.parametrize(
    "blocks",
    [
        [SECTION, {"type": "divider"}],
        [SECTION] * 50,
        [{"type": "section", "fields": [SECTION["text"]] * 10}],
        [{"type": "header", "text": {"type": "plain_text", "text": "x" * 150}}],
        [{"type": "context", "elements": [SECTION["text"]]}],
        [{"type": "image", "image_url": "https://x.example/i.png", "alt_text": "a picture"}],
    ],
)
async def test_blocks_within_the_limits_are_taken(sink: Running, blocks: list[dict[str, Any]]) -> None:
    assert await sink.post({"blocks": blocks}) == (200, "ok")
    assert await sink.post({"attachments": [{"blocks": blocks}]}) == (200, "ok")


@pytest.mark.parametrize(
    ("path", "status", "refusal"),
    [
        (SLACK_PATH[:-1] + "y", 403, "invalid_token"),
        ("/services/TABCDEFGHI/BANOTHER/abcdefghijklmnopqrstuvwx", 404, "no_service"),
        ("/services/nothing", 404, "no_service"),
        (SLACK_PATH + "/more", 404, "no_service"),
    ],
)
async def test_an_unknown_webhook_is_refused_and_its_token_is_not_kept(
    sink: Running, path: str, status: int, refusal: str
) -> None:
    assert await sink.post(ALERT, path) == (status, refusal)
    (message,) = sink.store.all()
    assert message.refusal == refusal
    assert path not in str(message)


async def test_a_flood_is_told_to_wait(session: aiohttp.ClientSession) -> None:
    server = await serve(Sink(Store(), SLACK_PATH, ROUTING_KEY, Pace(per_second=0.01, burst=2)).app())
    statuses = []
    for _ in range(3):
        async with session.post(f"{server.url}{SLACK_PATH}", json={"text": "x"}) as response:
            statuses.append(response.status)
            wait = response.headers.get("Retry-After")
    assert statuses == [200, 200, 429]
    assert wait is not None
    assert 1 <= int(wait) <= 100
    await server.close()


def test_the_bucket_fills_again() -> None:
    pace = Pace(per_second=1e6, burst=1)
    assert [pace.wait_seconds() for _ in range(3)].count(0) >= 2
