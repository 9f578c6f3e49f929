"""Names that are markup, YAML or templates to a channel are text in every message, and no message is lost by one."""

import html
import re
from pathlib import Path

from demo.sink import pagerduty, slack
from demo.sink.page import messages_page
from tests.alertmanager.test_messages import Release, agent_down, both_releases, part, reached_all, send, stack

HOSTILE = '<!channel> <https://evil.example|click> *x* _y_ a & b: "c" &lt;'


@both_releases
async def test_markup_in_a_label_stays_text_in_the_mail(tmp_path: Path, release: Release) -> None:
    async with stack(tmp_path, release) as (url, taken):
        await send(url, [agent_down("<script>alert(1)</script>")])
        await taken.until(reached_all)
    assert "<script>" not in part(taken.mails[0], "text/html")
    assert "Agent &lt;script&gt;alert(1)&lt;/script&gt; (planner) is down" in part(taken.mails[0], "text/html")
    assert "Agent <script>alert(1)</script> (planner) is down" in part(taken.mails[0], "text/plain")


@both_releases
async def test_markup_in_a_label_is_text_for_slack_while_it_fires_and_when_it_ends(
    tmp_path: Path, release: Release
) -> None:
    async with stack(tmp_path, release) as (url, taken):
        await send(url, [agent_down(HOSTILE)])
        await taken.until(reached_all)
        await send(url, [agent_down(HOSTILE, ended=True), agent_down("other")])
        await taken.until(lambda seen: reached_all(seen, 2))
        await send(url, [agent_down("other", ended=True)])
        await taken.until(lambda seen: reached_all(seen, 3))
    escaped = html.escape(HOSTILE, quote=False)
    for message in taken.posts["/slack"]:
        [attachment] = message["attachments"]
        assert "<" not in "".join([attachment["title"], attachment["text"], attachment["fallback"]])
        assert not [field for field in attachment["fields"] if "<" in field["value"]]
    [first] = taken.posts["/slack"][0]["attachments"]
    assert first["title"] == first["fallback"] == f"[CRITICAL] AgentDown: Agent {escaped} (planner) is down"
    assert escaped in [field["value"] for field in first["fields"]]
    assert first["mrkdwn_in"] == ["pretext"], "nor is anything bold or slanted"
    shown = slack.read(taken.posts["/slack"][0])
    assert HOSTILE in shown.title, "what people read is what the label says"
    assert dict(shown.fields)["Where"] == HOSTILE
    page = messages_page([shown], "", 1, shown.received, is_paused=True)
    assert f"Every probe of {HOSTILE} has failed" in html.unescape(re.sub(r"<[^>]+>", "", page))
    assert "<mark>" not in page, "nobody is called"
    assert "click</a>" not in page
    for button in first["actions"]:
        assert not set("<> ") & set(button["url"])


@both_releases
async def test_an_alert_of_foreign_rules_calls_nobody_either(tmp_path: Path, release: Release) -> None:
    async with stack(tmp_path, release) as (url, taken):
        await send(url, [{"labels": dict.fromkeys(("alertname", "severity", "component", "job"), "<!here>")}])
        await taken.until(lambda seen: "/slack" in seen.posts)
    [attachment] = taken.posts["/slack"][0]["attachments"]
    assert attachment["title"] == "[&lt;!HERE&gt;] &lt;!here&gt;: "
    assert [field["value"] for field in attachment["fields"]][:3] == ["&lt;!here&gt;"] * 3


@both_releases
async def test_pagerduty_gets_values_as_they_are_and_texts_as_texts(tmp_path: Path, release: Release) -> None:
    async with stack(tmp_path, release) as (url, taken):
        await send(url, [agent_down(HOSTILE)])
        await taken.until(reached_all)
        await send(url, [agent_down(HOSTILE, ended=True)])
        await taken.until(lambda seen: reached_all(seen, 2))
    begin, end = (event["payload"] for event in taken.posts["/v2/enqueue"])
    assert begin["summary"] == f"[CRITICAL] AgentDown: Agent {HOSTILE} (planner) is down"
    assert HOSTILE in begin["custom_details"]["firing"]
    assert f"It was: Every probe of {HOSTILE} has failed" in end["custom_details"]["resolved"]


@both_releases
async def test_a_name_that_is_yaml_or_a_template_is_text_for_pagerduty(tmp_path: Path, release: Release) -> None:
    names = ["42", "~", "yes", "[a, b]", 'a: "{{ .ExternalURL }}"', 'a: "{{ no template"']
    alerts = [agent_down(name) for name in names]
    for number, alert in enumerate(alerts):
        alert["labels"]["agent_type"] = f"type {number}"
    async with stack(tmp_path, release) as (url, taken):
        await send(url, alerts)
        await taken.until(lambda seen: len(seen.posts.get("/v2/enqueue", ())) == len(names))
    events = taken.posts["/v2/enqueue"]
    assert sorted(event["payload"]["custom_details"]["where"].strip() for event in events) == sorted(names)
    shown = [dict(pagerduty.read(event, event["dedup_key"]).fields) for event in events]
    assert sorted(fields["Where"] for fields in shown) == sorted(names)
    assert not any("Resolved" in fields for fields in shown), "nothing to say, nothing shown"
