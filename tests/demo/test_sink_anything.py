"""Whatever arrives, the sink answers with a yes or a reason, and what it keeps can be shown."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from demo.sink import mail, pagerduty, slack
from demo.sink.message import Message, restored
from demo.sink.page import incidents_page, messages_page

# A busy machine is not a defect of the strategies.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def either(*known: Any) -> st.SearchStrategy[Any]:
    """Return known good values among anything else."""
    return st.sampled_from(known) | ANYTHING


TEXT = either({"type": "mrkdwn", "text": "x"}, {"type": "plain_text", "text": "x"})
BLOCK = st.dictionaries(
    st.sampled_from(["type", "text", "fields", "elements", "block_id", "alt_text"]),
    either("section", "header", "context", "image", "x") | TEXT | st.lists(TEXT, max_size=3),
)
ATTACHMENT = st.dictionaries(
    st.sampled_from(["title", "title_link", "text", "fields", "actions", "blocks", "fallback"]),
    ANYTHING | st.lists(BLOCK, max_size=2),
)
SLACK = st.dictionaries(
    st.sampled_from(["text", "channel", "attachments", "blocks"]),
    ANYTHING | st.lists(ATTACHMENT, max_size=2) | st.lists(BLOCK, max_size=2),
)
PAYLOAD = st.dictionaries(
    st.sampled_from(["summary", "source", "severity", "timestamp", "custom_details"]), either("x", "critical")
)
PAGERDUTY = st.dictionaries(
    st.sampled_from(["routing_key", "event_action", "dedup_key", "payload", "links", "images", "client_url"]),
    either("k" * 32, "trigger", "resolve", [{"href": "x"}]) | PAYLOAD,
)


def shows(message: Message) -> None:
    """Check that a message survives JSON and can be put on a page."""
    assert restored(json.loads(json.dumps(message.document()))) == message
    assert messages_page([message], "", 1, 0.0, is_paused=False)
    assert incidents_page(pagerduty.incidents([message]), 0.0, is_paused=False)


@PATIENT
@given(SLACK)
def test_any_slack_payload_is_judged_and_shown(payload: dict[str, Any]) -> None:
    shows(slack.read(payload, slack.refusal(payload)))


@PATIENT
@given(PAGERDUTY)
def test_any_pagerduty_event_is_judged_and_shown(event: dict[str, Any]) -> None:
    assert isinstance(pagerduty.errors(event, "k" * 32), list)
    shows(pagerduty.read(event, "key"))


@PATIENT
@given(st.binary(max_size=200))
def test_any_mail_is_shown(content: bytes) -> None:
    shows(mail.read(b"Subject: x\nContent-Type: multipart/alternative; boundary=b\n" + content, ["a"]))
    shows(mail.read(content, []))
