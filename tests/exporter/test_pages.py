"""Pages for people: everything is there, everything foreign is escaped, nothing leads elsewhere."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from contract.pages import layout
from contract.vocabulary import ProbeOutcome
from exporter.outcome import Identity, ProbeResult
from exporter.pages import runbooks, status
from exporter.pages.layout import page
from tests.exporter.running import Running, World, running, world
from tests.exporter.servers import until
from tests.exporter.test_app import settled
from tests.exporter.test_observations import alert

GROUPS = [
    group
    for file in sorted(Path("rules/generated").glob("*.yaml"))
    for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
]
NASTY = "<script>alert(1)</script>\"'&"


class Page(HTMLParser):
    """Reads a page strictly: every element that is opened is closed, in order."""

    VOID = frozenset({"meta", "link", "br", "hr", "img", "circle", "path", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.elements: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs
        self.links += [value for name, value in attrs if name in ("href", "src") and value]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.fixture
async def around() -> AsyncIterator[World]:
    async with world() as made:
        yield made


@pytest.fixture
async def whole(around: World, tmp_path: Path) -> AsyncIterator[Running]:
    config = around.config(links={"Grafana": "http://localhost:3000"})
    async with running(tmp_path / "exporter.yaml", config) as started:
        await until(lambda: settled(started.exporter))
        yield started


async def shows(whole: Running, *texts: str) -> str:
    """Wait until the status page shows these texts and return it."""
    async with asyncio.timeout(10):
        while True:
            page = await whole.text("/")
            if all(text in page for text in texts):
                return page
            await asyncio.sleep(0.02)


async def test_page_shows_a_healthy_system(whole: Running) -> None:
    page = await shows(whole, "All is well", "3 of 3 agents healthy", "no active alerts")
    for text in ("planner-1", "validator-1", "2026-07-28", "pipeline_step", "Infrastructure", "Security"):
        assert text in page
    assert 'href="http://localhost:9090"' in page
    assert 'href="http://localhost:3000"' in page
    Page(page)


async def test_page_shows_what_is_broken(whole: Running, around: World) -> None:
    around.broken.add("planner-2")
    around.alerts = [
        *(
            alert(name, severity)
            for name, severity in {"Odd": "minor", "Errors": "major", "AgentDown": "critical"}.items()
        ),
        alert("Errors", "minor"),
        alert("Quiet", state="suppressed"),
    ]
    page = await shows(whole, "2 of 3 agents healthy", "4 active alerts", "1 silenced or inhibited")
    assert "because: AgentDown fires; planner 1 of 2 healthy; Errors fires</p>" in page
    assert "<b>http_error</b> server/discover is answered with status 500" in page
    assert 'href="http://localhost:9820/runbooks/AgentDown"' in page
    assert page.index("planner-2</strong>") < page.index("planner-1</strong>"), "the worst come first"
    Page(page)


async def test_page_says_unknown_where_nothing_is_known(whole: Running, around: World) -> None:
    around.broken = {"api", "workflows"}
    page = await shows(whole, "alerts unknown", "Source engine cannot be read")
    assert "no active alerts" not in page
    Page(page)


async def test_page_of_an_empty_exporter_says_so(tmp_path: Path) -> None:
    async with running(tmp_path / "exporter.yaml", {}) as started:
        page = await started.text("/")
    for text in ("Unknown", "No agents are configured.", "No workflow source is configured.", "no Alertmanager"):
        assert text in page
    Page(page)


async def test_everything_foreign_is_escaped(whole: Running, around: World) -> None:
    nasty = alert("AgentDown")
    nasty["annotations"] |= {"summary": NASTY, "runbook_url": f'http://x/"{NASTY}', "dashboard_url": "javascript:x"}
    nasty["labels"] |= {"alertname": NASTY, "severity": f'critical" onclick="{NASTY}', "agent": NASTY}
    around.alerts = [nasty]
    around.document = json.loads(json.dumps(around.document).replace("pipeline_step", "&lt;b&gt;<b>bold</b>"))
    agent = whole.exporter.fleet.agents["planner-1"]
    await until(lambda: whole.exporter.alerts.alerts)
    identity = Identity("modern", NASTY, NASTY, NASTY)
    whole.exporter.fleet.record(agent, ProbeResult(ProbeOutcome.DEGRADED, 0.1, NASTY, identity))
    page = await shows(whole, "&lt;script&gt;alert(1)&lt;/script&gt;", "&amp;lt;b&amp;gt;&lt;b&gt;bold")
    assert "<script" not in page
    parsed = Page(page)
    assert "script" not in parsed.elements
    assert not any(name.startswith("on") or name == "style" for name, _ in parsed.attributes)
    assert not any(link.startswith(("javascript:", "data:text")) for link in parsed.links)


@pytest.mark.parametrize("path", ["/", "/runbooks/", "/runbooks/agent_down"])
async def test_page_needs_nothing_from_elsewhere(whole: Running, path: str) -> None:
    status, text, headers = await whole.get(path)
    assert status == 200
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; img-src 'self' data:;")
    assert "unsafe" not in policy
    sources = re.findall(r'<(?:link|script|img)[^>]+(?:href|src)="([^"]+)"', text)
    assert all(source.startswith(("/", "data:image/")) for source in sources)
    for source in sources:
        if source.startswith("/"):
            assert (await whole.get(source))[0] == 200


@pytest.mark.parametrize("path", ["/", "/health", "/metrics", "/nowhere", "/probe", "/-/healthy"])
async def test_every_answer_is_guarded(whole: Running, path: str) -> None:
    _, _, headers = await whole.get(path)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in headers["Content-Security-Policy"]


async def test_style_knows_dark_light_and_phones(whole: Running) -> None:
    style = await whole.text("/assets/style.css")
    assert "prefers-color-scheme: dark" in style
    assert "max-width: 520px" in style
    assert "url(" not in style
    assert "@import" not in style


async def test_page_renews_itself(whole: Running) -> None:
    assert '<meta http-equiv="refresh" content="15">' in await whole.text("/")


async def test_large_type_shows_its_worst_instances(tmp_path: Path, around: World) -> None:
    agents = [{"name": f"p-{number}", "type": "planner", "url": f"{around.url}/p{number}"} for number in range(100)]
    around.broken = {"p77"}
    async with running(tmp_path / "exporter.yaml", around.config(agents=agents)) as started:
        await until(started.exporter.fleet.has_been_probed)
        page = await started.text("/")
    assert "99 of 100" in page
    assert "p-77</strong>" in page
    assert page.count("</strong>") == 60
    assert "and 40 more" in page


async def test_slow_agent_is_marked_and_comes_before_the_quick_ones(whole: Running) -> None:
    agents = whole.exporter.fleet.agents
    whole.exporter.fleet.record(agents["planner-1"], ProbeResult(ProbeOutcome.OK, 2.0))
    whole.exporter.fleet.record(agents["planner-2"], ProbeResult(ProbeOutcome.OK, 2.4))
    planner = next(one for one in status.view(whole.exporter)["types"] if one["name"] == "planner")
    assert [(one["name"], one["is_slow"]) for one in planner["instances"]] == [
        ("planner-2", True),
        ("planner-1", False),
    ]
    assert '<span class="number slow">slow: 2.40 s</span>' in str(
        page("status.html", **status.view(whole.exporter)).text
    )


async def test_every_runbook_is_a_page(whole: Running) -> None:
    index = await whole.text("/runbooks/")
    names = sorted(path.stem for path in Path("docs/runbooks").glob("*.md"))
    assert names
    for name in names:
        assert f'href="/runbooks/{name}"' in index
        page = await whole.text(f"/runbooks/{name}")
        assert runbooks.title(Path(f"docs/runbooks/{name}.md")) in page
        Page(page)


async def test_every_alert_leads_to_a_runbook_that_leads_to_the_dashboard_of_this_installation(
    tmp_path: Path, around: World
) -> None:
    config = around.config(links={"Grafana": "https://grafana.example/d/mcp-lookout-overview"})
    rules = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]
    assert rules
    async with running(tmp_path / "exporter.yaml", config) as started:
        for rule in rules:
            board = re.sub("[?&]var-.*", "", rule["annotations"]["dashboard_url"])
            page = await started.text(rule["annotations"]["runbook_url"].removeprefix("http://localhost:9820"))
            assert board.replace("http://localhost:3000", "https://grafana.example") in Page(page).links


async def test_list_of_runbooks_tells_severity_and_meaning_by_group(whole: Running) -> None:
    index = await whole.text("/runbooks/")
    Page(index)
    groups = [layout.heading(name) for name in sorted(path.stem for path in Path("rules/policies").glob("*.yaml"))]
    assert re.findall(r'<h2 id="group-\d+">([^<]+) <span', index) == groups
    card = index[index.index('href="/runbooks/agent_down"') :]
    card = card[: card.index("</a>")]
    assert '<span class="pill">critical</span>' in card
    assert "Every probe of one agent has failed for at least 2 minutes: no connection" in card


async def test_unknown_runbook_is_a_page_with_a_way_back(whole: Running) -> None:
    code, text, headers = await whole.get("/runbooks/%3Cb%3Ex")
    assert (code, headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "<code>&lt;b&gt;x</code>" in text
    assert 'href="/runbooks/"' in text
    Page(text)


@pytest.mark.parametrize("path", ["/", "/runbooks/", "/runbooks/agent_down", "/runbooks/nowhere"])
async def test_every_page_has_the_same_tabs(whole: Running, path: str) -> None:
    _, text, _ = await whole.get(path)
    nav = text[text.index("<nav>") : text.index("</nav>")]
    assert re.findall(r">(\w+)</a>", nav) == ["Status", "Runbooks", "Grafana", "Prometheus", "Alertmanager"]
    assert nav.count("aria-current") == 1


async def test_runbook_leads_to_where_the_services_are(tmp_path: Path, around: World) -> None:
    (tmp_path / "books").mkdir()
    text = "# A\n\n`http://localhost:9820/x`, `http://localhost:9093/y`, http://localhost:3000/z and http://localhost:90901/.\n"
    (tmp_path / "books" / "a.md").write_text(text + "\n```promql\nup\n```\n")
    prometheus = {"url": around.url, "public_url": "https://metrics.example/base/"}
    alertmanager = {"url": around.url, "public_url": "http://localhost:19093"}
    config = around.config(
        prometheus=prometheus,
        alertmanager=alertmanager,
        links={"Grafana": "http://localhost:13000/d/overview"},
        runbooks="books",
    )
    async with running(tmp_path / "exporter.yaml", config) as started:
        page = await started.text("/runbooks/a")
        _, odd, _ = await started.get("/runbooks/a", Host='a"<b>')
    links = Page(page).links
    for link in (
        f"{started.url}/x",
        "http://localhost:19093/y",
        "http://localhost:13000/z",
        "http://localhost:90901/",
        "https://metrics.example/base/graph?g0.expr=up&g0.tab=1",
    ):
        assert link in links
    assert f"<code>{started.url}/x</code></a>" in page, "the text is what the link is"
    assert '"<b>' not in odd


@pytest.mark.parametrize(
    "path",
    [
        "/runbooks/nowhere",
        "/runbooks/agent_down.md",
        "/runbooks/..%2f..%2fREADME",
        "/runbooks/%2e%2e/%2e%2e/pyproject.toml",
        "/runbooks/..%5c..%5cREADME",
        "/runbooks/%2fetc%2fpasswd",
        "/runbooks/agent_down%00",
        "/runbooks/README",
    ],
)
async def test_no_name_leads_out_of_the_runbooks(whole: Running, path: str) -> None:
    import yarl

    async with whole.session.get(yarl.URL(whole.url + path, encoded=True)) as response:
        assert response.status == 404


async def test_runbooks_without_slash_lead_to_the_list(whole: Running) -> None:
    status, _, headers = await whole.get("/runbooks")
    assert (status, headers["Location"]) == (301, "/runbooks/")


async def test_runbooks_of_ones_own_replace_the_bundled_ones(tmp_path: Path) -> None:
    folder = tmp_path / "books"
    folder.mkdir()
    (folder / "own.md").write_text("# My *own*\n\nSee [other](other.md#x), [web](https://x.y) and [bad](javascript:1).")
    (folder / "untitled.md").write_text("No heading")
    (folder / "README.md").write_text("# Not a runbook")
    async with running(tmp_path / "exporter.yaml", {"runbooks": "books"}) as started:
        index = await started.text("/runbooks/")
        page = await started.text("/runbooks/own")
        assert (await started.get("/runbooks/agent_down"))[0] == 404
        (folder / "later.md").write_text("# Later")
        assert "Later" in await started.text("/runbooks/")
    assert "untitled" in index
    assert "Not a runbook" not in index
    assert 'href="/runbooks/other#x"' in page
    assert 'href="https://x.y"' in page
    assert 'href="javascript' not in page


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("<script>x</script>", "<p>&lt;script&gt;x&lt;/script&gt;</p>\n"),
        ("a <b>b</b>", "<p>a &lt;b&gt;b&lt;/b&gt;</p>\n"),
        ("![x](data:text/html,y)", "<p>![x](data:text/html,y)</p>\n"),
        ("`<i>`", "<p><code>&lt;i&gt;</code></p>\n"),
    ],
)
def test_html_in_a_runbook_is_text(markdown: str, html: str) -> None:
    assert runbooks.render(markdown) == html


def test_table_in_a_runbook_is_a_table() -> None:
    assert "<table>" in runbooks.render("| a | b |\n|---|---|\n| 1 | 2 |\n")
