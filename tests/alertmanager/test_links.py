"""The filters in messages name exactly the labels of the alert, in every channel."""

import html
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.alertmanager.test_messages import Release, agent_down, both_releases, part, reached_all, send, stack

_HREF = re.compile(r'<a href="([^"]*)">(\w+)</a>')
_LINE = re.compile(r"^(Alerts|Silence): +(\S+)\r?$", re.MULTILINE)
_PAIR = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def labels(address: str) -> dict[str, str]:
    """Read the filter as Alertmanager's page does: decoded once, then as matchers."""
    written = unquote(urlsplit(address).fragment.partition("?filter=")[2])
    assert written[0] + written[-1] == "{}", written
    return {name: re.sub(r"\\(.)", r"\1", value) for name, value in _PAIR.findall(written[1:-1])}


@both_releases
@pytest.mark.parametrize("agent", ["planner-2", 'two words, "quoted"', r"100% a+b&c#d \ <e> 'f' ü"])
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
