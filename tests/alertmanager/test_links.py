"""The links in messages name exactly the labels of the alert, or of its group, in every channel."""

import html
import re
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from tests.alertmanager.test_messages import Release, agent_down, both_releases, part, reached_all, send, stack

_HREF = re.compile(r'<a href="([^"]*)">(\w+)</a>')
_LINE = re.compile(r"^(Acknowledge|Alerts|Silence): +(\S+)\r?$", re.MULTILINE)
_PAIR = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def labels(address: str) -> dict[str, str]:
    """Read the filter as Alertmanager's page does: decoded once, then as matchers."""
    written = unquote(urlsplit(address).fragment.partition("?filter=")[2])
    assert written[0] + written[-1] == "{}", written
    return {name: re.sub(r"\\(.)", _meant, value) for name, value in _PAIR.findall(written[1:-1])}


def _meant(escaped: re.Match[str]) -> str:
    return {"n": "\n"}.get(escaped[1], escaped[1])


ODD = 'two words, "quoted"', r"100% a+b&c#d \ <e> 'f' ü", "two\nlines\tand a tab"


@both_releases
@pytest.mark.parametrize("agent", ["planner-2", *ODD])
async def test_links_of_mail_and_slack_lead_to_the_same_alert(tmp_path: Path, release: Release, agent: str) -> None:
    sent = agent_down(agent)
    async with stack(tmp_path, release) as (url, taken):
        await send(url, [sent])
        await taken.until(reached_all)
    [attachment] = taken.posts["/slack"][0]["attachments"]
    buttons = {action["text"]: action["url"] for action in attachment["actions"]}
    slack = {"Alerts": attachment["title_link"], "Silence": buttons["Silence"]}
    in_html = {name: html.unescape(address) for address, name in _HREF.findall(part(taken.mails[0], "text/html"))}
    in_text = dict(_LINE.findall(part(taken.mails[0], "text/plain")))
    for name, address in slack.items():
        assert labels(address) == sent["labels"]
        assert unquote(in_html[name]) == unquote(address)
        assert in_text[name] == address


@both_releases
@pytest.mark.parametrize("agent_type", ODD)
async def test_the_link_to_acknowledge_names_the_group_as_it_is(
    tmp_path: Path, release: Release, agent_type: str
) -> None:
    sent = agent_down()
    sent["labels"]["agent_type"] = agent_type
    async with stack(tmp_path, release) as (url, taken):
        await send(url, [sent])
        await taken.until(reached_all)
    [attachment] = taken.posts["/slack"][0]["attachments"]
    in_html = {name: html.unescape(address) for address, name in _HREF.findall(part(taken.mails[0], "text/html"))}
    addresses = [
        *(action["url"] for action in attachment["actions"] if action["text"] == "Acknowledge"),
        *(link["href"] for link in taken.posts["/v2/enqueue"][0]["links"] if link["text"] == "Acknowledge"),
        dict(_LINE.findall(part(taken.mails[0], "text/plain")))["Acknowledge"],
        in_html["Acknowledge"],
    ]
    assert len(addresses) == 4
    for address in addresses:
        assert not set(address) & set(' \n\t"<>'), "else a channel cuts or refuses it"
        assert parse_qs(urlsplit(address).query) == {"alertname": ["AgentDown"], "agent_type": [agent_type]}
