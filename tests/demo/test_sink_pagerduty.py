"""What PagerDuty's Events API v2 takes and refuses, asked of the running sink; and the incidents that follow."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from contract.web import serve
from demo.sink.app import Sink
from demo.sink.message import Message
from demo.sink.pace import Pace
from demo.sink.pagerduty import incidents
from demo.sink.store import Store
from tests.demo.conftest import ROUTING_KEY, SLACK_PATH

PAYLOAD = {"summary": "[CRITICAL] AgentDown: planner-2 is down", "source": "MCP Lookout", "severity": "critical"}
TRIGGER: dict[str, Any] = {
    "routing_key": ROUTING_KEY,
    "event_action": "trigger",
    "dedup_key": "key-1",
    "payload": {**PAYLOAD, "custom_details": {"severity": "critical", "firing": "one\ntwo", "resolved": "", "n": 1}},
    "client": "MCP Lookout",
    "client_url": "http://localhost:9093",
    "links": [{"href": "http://localhost:9820/runbooks/agent_down", "text": "Runbook"}],
}


class Running:
    """A sink's PagerDuty endpoint and what it keeps."""

    def __init__(self, url: str, store: Store, session: aiohttp.ClientSession) -> None:
        self.url = f"{url}/v2/enqueue"
        self.store = store
        self.session = session

    async def enqueue(self, event: Any) -> tuple[int, dict[str, Any]]:
        body = {"data": event} if isinstance(event, bytes) else {"json": event}
        async with self.session.post(self.url, **body) as response:
            return response.status, await response.json()


@pytest.fixture
async def sink(session: aiohttp.ClientSession) -> AsyncIterator[Running]:
    store = Store()
    server = await serve(Sink(store, SLACK_PATH, ROUTING_KEY, Pace()).app())
    yield Running(server.url, store, session)
    await server.close()


async def test_a_trigger_is_accepted_and_read(sink: Running) -> None:
    status, answer = await sink.enqueue(TRIGGER)
    assert status == 202
    assert answer == {"status": "success", "message": "Event processed", "dedup_key": "key-1"}
    (message,) = sink.store.all()
    assert (message.alert, message.state, message.severity) == ("AgentDown", "firing", "critical")
    assert message.fields == (("Severity", "critical"), ("N", "1"))
    assert message.text == "one\ntwo"
    assert message.links == (("Runbook", "http://localhost:9820/runbooks/agent_down"),)


async def test_the_routing_key_is_kept_nowhere(sink: Running) -> None:
    await sink.enqueue(TRIGGER)
    assert ROUTING_KEY not in str(sink.store.all())


async def test_counts_of_alerts_are_told_in_words(sink: Running) -> None:
    await sink.enqueue(changed(custom_details={"num_firing": "1", "num_resolved": "2", "agent_type": "planner"}))
    (message,) = sink.store.all()
    assert message.fields == (("Firing alerts", "1"), ("Resolved alerts", "2"), ("Agent type", "planner"))


async def test_a_trigger_without_a_dedup_key_gets_one(sink: Running) -> None:
    event = {name: value for name, value in TRIGGER.items() if name != "dedup_key"}
    _, first = await sink.enqueue(event)
    _, second = await sink.enqueue(event)
    assert first["dedup_key"] != second["dedup_key"]


async def test_acknowledge_and_resolve_need_no_payload(sink: Running) -> None:
    for action in ("acknowledge", "resolve"):
        event = {"routing_key": ROUTING_KEY, "event_action": action, "dedup_key": "key-1"}
        assert (await sink.enqueue(event))[0] == 202
    assert [message.state for message in sink.store.all()] == ["acknowledged", "resolved"]


def changed(**payload: Any) -> dict[str, Any]:
    return {**TRIGGER, "payload": {**PAYLOAD, **payload}}


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({**TRIGGER, "routing_key": "short"}, "Length of 'routing_key' is incorrect (should be 32 characters)"),
        ({**TRIGGER, "routing_key": None}, "Length of 'routing_key' is incorrect (should be 32 characters)"),
        ({**TRIGGER, "routing_key": "f" * 32}, "Invalid routing key"),
        ({**TRIGGER, "routing_key": "ü" * 32}, "Invalid routing key"),
        ({**TRIGGER, "routing_key": "\ud800" * 32}, "Invalid routing key"),
        ({**TRIGGER, "event_action": "explode"}, "'event_action' is missing or invalid"),
        ({**TRIGGER, "event_action": ["trigger"]}, "'event_action' is missing or invalid"),
        ({**TRIGGER, "dedup_key": "k" * 256}, "'dedup_key' is too long"),
        ({**TRIGGER, "event_action": "resolve", "dedup_key": ""}, "'dedup_key' is missing or blank"),
        ({**TRIGGER, "payload": None}, "'payload' is missing or blank"),
        (changed(summary=" "), "'payload.summary' is missing or blank"),
        (changed(summary="s" * 1025), "'payload.summary' is too long"),
        (changed(source=None), "'payload.source' is missing or blank"),
        (changed(severity=""), "'payload.severity' is missing or blank"),
        (changed(severity="major"), "'payload.severity' is invalid"),
        (changed(timestamp="yesterday"), "'payload.timestamp' is invalid"),
        ({**TRIGGER, "links": [{"text": "no address"}]}, "'links' must be"),
        ({**TRIGGER, "links": "x"}, "'links' must be"),
        ({**TRIGGER, "images": [{"href": "x"}]}, "'images' must be"),
        (b"not json", "not a JSON object"),
        (b"[]", "not a JSON object"),
    ],
)
async def test_what_pagerduty_refuses_is_refused_with_the_reason_and_kept(
    sink: Running, event: Any, error: str
) -> None:
    status, answer = await sink.enqueue(event)
    assert (status, answer["status"], answer["message"]) == (400, "invalid event", "Event object is invalid")
    assert any(error in found for found in answer["errors"])
    (message,) = sink.store.all()
    assert error in message.refusal


async def test_every_mistake_is_told_at_once(sink: Running) -> None:
    _, answer = await sink.enqueue({"event_action": "trigger"})
    assert len(answer["errors"]) == 2
    _, answer = await sink.enqueue({**TRIGGER, "payload": {}})
    assert len(answer["errors"]) == 3


async def test_an_event_above_512_kb_is_too_large(sink: Running) -> None:
    status, _ = await sink.enqueue(changed(custom_details="x" * 512 * 1024))
    assert status == 413
    assert (await sink.enqueue(changed(custom_details="x" * 500_000)))[0] == 202


def event(key: str, state: str, number: int) -> Message:
    return Message("pagerduty", f"{key} {state}", dedup_key=key, state=state, id=number, received=float(number))


def test_incidents_pair_trigger_and_resolve_by_dedup_key() -> None:
    story = [("a", "firing"), ("b", "firing"), ("a", "firing"), ("a", "resolved"), ("b", "acknowledged")]
    b, a = incidents(event(key, state, number) for number, (key, state) in enumerate(story))
    assert (a.first.received, a.last.received, a.events, a.is_open) == (0, 3, 3, False)
    assert (b.first.received, b.last.state, b.is_open) == (1, "acknowledged", True)


def test_a_trigger_after_a_resolve_is_a_new_incident_and_a_lone_resolve_is_none() -> None:
    story = [("a", "resolved"), ("a", "firing"), ("a", "resolved"), ("a", "firing")]
    second, first = incidents(event(key, state, number) for number, (key, state) in enumerate(story))
    assert (first.is_open, second.is_open) == (False, True)
