"""The sink's pages: complete, escaped, locked down."""

import re
import time
from collections.abc import AsyncIterator
from html.parser import HTMLParser

import aiohttp
import pytest

from contract.web import serve
from demo.sink.app import Sink
from demo.sink.markup import link, rich, slack_text, tag
from demo.sink.message import Message
from demo.sink.pace import Pace
from demo.sink.page import SHOWN, messages_page
from demo.sink.store import Store
from tests.demo.conftest import ROUTING_KEY, SLACK_PATH

EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'&"


class Running:
    """A sink with its pages."""

    def __init__(self, url: str, store: Store, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.store = store
        self.session = session

    async def get(self, path: str, status: int = 200) -> str:
        async with self.session.get(f"{self.url}{path}") as response:
            assert response.status == status
            self.headers = response.headers
            return await response.text()


@pytest.fixture
async def sink(session: aiohttp.ClientSession) -> AsyncIterator[Running]:
    store = Store()
    server = await serve(Sink(store, SLACK_PATH, ROUTING_KEY, Pace()).app())
    yield Running(server.url, store, session)
    await server.close()


class Tags(HTMLParser):
    """Collects the elements of a page and checks that they are closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def nasty(channel: str) -> Message:
    links = ((EVIL, "javascript:alert(1)"), (EVIL, f"http://x.example/{EVIL}"))
    return Message(channel, EVIL, EVIL, EVIL, EVIL, "firing", "critical", ((EVIL, EVIL),), links, EVIL, "", "", EVIL)


async def test_an_empty_sink_says_how_to_fill_it(sink: Running) -> None:
    assert "make demo-break FAULT=agent-down" in await sink.get("/")
    assert "make demo-break FAULT=agent-down" in await sink.get("/pagerduty")
    assert "Nothing was refused" in await sink.get("/?channel=refused")


async def test_the_page_shows_channel_state_severity_links_and_text(sink: Running) -> None:
    links = (("Runbook", "http://localhost:9820/runbooks/agent_down"),)
    text = "planner-2 is *down*, see <http://x.example|here>"
    sink.store.add(Message("slack", "Title", text, "#alerts", "AgentDown", "firing", "critical", (("K", "V"),), links))
    page = await sink.get("/")
    for expected in ("Slack", "firing", "critical", "#alerts", "<strong>down</strong>", "<dt>K</dt>", ">Runbook</a>"):
        assert expected in page
    assert 'href="http://localhost:9820/runbooks/agent_down"' in page
    assert "is-critical" in page


async def test_views_show_their_channel_and_refused_ones_with_the_reason(sink: Running) -> None:
    sink.store.add(Message("slack", "a slack message"))
    sink.store.add(Message("email", "a mail"))
    sink.store.add(Message("pagerduty", "a page", refusal="Invalid routing key"))
    assert "a mail" not in await sink.get("/?channel=slack")
    refused = await sink.get("/?channel=refused")
    assert "Invalid routing key" in refused
    assert "a slack message" not in refused


async def test_newest_first_and_no_more_than_a_page(sink: Running) -> None:
    for number in range(SHOWN + 5):
        sink.store.add(Message("slack", f"number {number}."))
    shown = [int(number) for number in re.findall(r"number (\d+)\.", await sink.get("/"))]
    assert shown == list(range(SHOWN + 4, 4, -1))


@pytest.mark.parametrize("channel", ["slack", "email", "pagerduty"])
async def test_foreign_text_stays_text(sink: Running, channel: str) -> None:
    sink.store.add(nasty(channel))
    for path in ("/", "/pagerduty", "/?channel=%3Cscript%3E"):
        for element, attributes in Tags(await sink.get(path)).seen:
            assert element not in ("script", "img", "style", "object", "embed", "form", "base")
            assert not [name for name in attributes if name.startswith("on")]
            assert not str(attributes.get("href", "")).startswith("javascript:")


async def test_half_a_surrogate_pair_does_not_break_the_pages(sink: Running) -> None:
    sink.store.add(Message("slack", "half \ud800 pair", "\udfff", html="\ud800", state="firing"))
    assert "half ? pair" in await sink.get("/")
    assert "?" in await sink.get("/messages/1/html")
    assert "\\ud800" in await sink.get("/messages")


async def test_every_page_forbids_scripts_and_frames_around_it(sink: Running) -> None:
    for path, status in (("/", 200), ("/pagerduty", 200), ("/messages", 200), ("/nowhere", 404)):
        await sink.get(path, status)
        policy = sink.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "frame-ancestors 'none'" in policy
        assert sink.headers["X-Content-Type-Options"] == "nosniff"


async def test_nothing_on_a_page_comes_from_elsewhere(sink: Running) -> None:
    sink.store.add(Message("email", "mail", html="<p>x</p>"))
    for element, attributes in Tags(await sink.get("/")).seen:
        address = str(attributes.get("src") or (attributes.get("href") if element == "link" else "") or "")
        assert not address or address.startswith(("/", "data:"))
    assert ":root" in await sink.get("/page.css")


async def test_a_mail_is_framed_without_rights(sink: Running) -> None:
    sink.store.add(Message("email", "mail", "text", html=f"<p style='color:red'>{EVIL}</p>"))
    frames = [attributes for element, attributes in Tags(await sink.get("/")).seen if element == "iframe"]
    assert frames[0]["sandbox"] == "allow-popups allow-popups-to-escape-sandbox"
    assert "<p style" in await sink.get(str(frames[0]["src"]))
    policy = sink.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox")
    assert "script" not in policy.replace("sandbox", "")
    await sink.get("/messages/99/html", status=404)


async def test_a_mail_tells_on_its_card_what_is_not_shown_otherwise(sink: Running) -> None:
    text = (
        "[CRITICAL] AgentDown: planner-2 is down\n\nWhere:     planner-2\nSince:     12:00 UTC\n\n"
        "* planner-2 is down\n  since 12:00 UTC\n  Every probe has failed.\n\nRunbook:   http://x.example/r\n"
    )
    fields, links = (("Where", "planner-2"), ("Since", "12:00 UTC")), (("Runbook", "http://x.example/r"),)
    title = "[CRITICAL] AgentDown: planner-2 is down"
    sink.store.add(Message("email", title, text, fields=fields, links=links, html="<p>x</p>"))
    assert '<div class="text">Every probe has failed.</div>' in await sink.get("/")


async def test_the_page_renews_itself_unless_paused(sink: Running) -> None:
    assert 'http-equiv="refresh"' in await sink.get("/")
    paused = await sink.get("/?channel=slack&pause=1")
    assert 'http-equiv="refresh"' not in paused
    assert 'href="/?channel=slack"' in paused, "going on keeps the view"


async def test_it_is_for_phones_and_for_both_colour_schemes(sink: Running) -> None:
    assert 'name="viewport"' in await sink.get("/")
    style = await sink.get("/page.css")
    assert "prefers-color-scheme: dark" in style
    assert "@media (max-width" in style


async def test_incidents_show_how_long_they_took_and_what_is_open(sink: Running) -> None:
    for key, state in (("a", "firing"), ("a", "resolved"), ("b", "firing")):
        sink.store.add(Message("pagerduty", f"incident {key}", state=state, dedup_key=key, severity="critical"))
    sink.store.add(Message("pagerduty", "refused", state="firing", dedup_key="c", refusal="no"))
    page = await sink.get("/pagerduty")
    assert "1 open, 1 resolved" in page
    assert page.index("incident b") < page.index("incident a")
    assert "took 0 s · 2 events" in page


async def test_messages_as_json_by_channel_time_and_number(sink: Running) -> None:
    began = time.time()
    sink.store.add(Message("slack", "one"))
    sink.store.add(nasty("email"))

    async def titles(query: str) -> list[str]:
        async with sink.session.get(f"{sink.url}/messages{query}") as response:
            assert response.status == 200
            return [message["title"] for message in (await response.json())["messages"]]

    assert await titles("") == ["one", EVIL]
    assert await titles("?channel=slack") == ["one"]
    assert await titles("?after=1") == [EVIL]
    assert await titles(f"?since={began + 60}") == []
    assert await titles("?since=2020-01-01T00:00:00Z") == ["one", EVIL]
    for query in ("?channel=pigeon", "?since=yesterday", "?after=x"):
        await sink.get(f"/messages{query}", status=400)


async def test_an_accepted_message_says_so_in_json(sink: Running) -> None:
    sink.store.add(Message("slack", "one"))
    sink.store.add(Message("slack", "two", refusal="no_text"))
    async with sink.session.get(f"{sink.url}/messages") as response:
        first, second = (await response.json())["messages"]
    assert (first["accepted"], second["accepted"], second["refusal"]) == (True, False, "no_text")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "just now"), (59, "59 s ago"), (61, "1 min 1 s ago"), (3600, "1 h 0 min ago"), (90_000, "25 h 0 min ago")],
)
def test_ages_are_told_in_words(seconds: float, words: str) -> None:
    message = Message("slack", "x", received=1_000_000.0)
    page = messages_page([message], "", 1, 1_000_000.0 + seconds, is_paused=False)
    assert words in page
    assert "12 Jan 13:46:40 UTC" in page, "a day that is not today is named"


def test_markup_escapes_what_is_not_markup() -> None:
    assert tag("a", "<b>", href='"', aria_current=None, class_="x") == '<a href="&quot;" class="x">&lt;b&gt;</a>'
    assert tag("p", tag("b", "x"), None, "&") == "<p><b>x</b>&amp;</p>"


def test_only_web_addresses_become_links() -> None:
    assert link("x", "https://x.example").startswith("<a ")
    for address in ("javascript:alert(1)", "data:text/html,x", "//x.example", "http://[", "file:///etc/passwd"):
        assert link("x", address).startswith("<span>"), address


def test_text_of_slack_has_links_bold_and_mentions() -> None:
    assert slack_text("*a* b*c*d") == "<strong>a</strong> b*c*d"
    assert '<a href="http://x.example/?a=1&amp;b=2"' in slack_text("<http://x.example/?a=1&amp;b=2|y>")
    assert slack_text("&lt;b&gt; &#42;c&#42;") == "&lt;b&gt; *c*"
    assert "<a " not in slack_text("<javascript:alert(1)|y>")
    assert slack_text("<!channel> <@U1> <#C1|ops> <!subteam^S1|@leads>") == " ".join(
        f"<mark>{name}</mark>" for name in ("@channel", "@U1", "#ops", "@leads")
    )
    assert slack_text("&lt;!channel&gt;") == "&lt;!channel&gt;", "escaped, it calls nobody"


def test_text_of_others_has_bare_addresses_only() -> None:
    assert rich("*a* <!channel> &lt;") == "*a* &lt;!channel&gt; &amp;lt;"
    assert rich("http://x.example/y").startswith("<a ")
    assert ">click</a>" not in rich("<http://x.example|click>")
