"""Links in runbooks: addresses, alerts and queries lead where they are in this installation."""

import re
from pathlib import Path

import pytest

from exporter.pages import runbooks
from exporter.pages.runbook_links import Places, queries

PLACES = Places(
    {"http://localhost:9090": "http://localhost:9093", "http://localhost:9093": "https://alerts.example"},
    {"AgentDown": "/runbooks/agent_down"},
    "http://localhost:19090",
)


def linked(text: str) -> str:
    return re.sub(r' rel="noopener"', "", str(runbooks.render(text, PLACES))).removeprefix("<p>").removesuffix("</p>\n")


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("see AgentDown.", 'see <a href="/runbooks/agent_down">AgentDown</a>.'),
        ("`AgentDown`", '<a href="/runbooks/agent_down"><code>AgentDown</code></a>'),
        ("AgentDownNow and NoSuchAlert", "AgentDownNow and NoSuchAlert"),
        ("[AgentDown](x.md)", '<a href="/runbooks/x">AgentDown</a>'),
        ("at http://localhost:9093/a, now", 'at <a href="https://alerts.example/a">https://alerts.example/a</a>, now'),
        ("`http://localhost:9090`", '<a href="http://localhost:9093"><code>http://localhost:9093</code></a>'),
        ("`http://localhost:9093/x?t=<a>`", "<code>https://alerts.example/x?t=&lt;a&gt;</code>"),
        ("`curl http://localhost:9093/`", "<code>curl https://alerts.example/</code>"),
        ("[x](http://localhost:9093/y)", '<a href="https://alerts.example/y">x</a>'),
        ("http://localhost:90931/", '<a href="http://localhost:90931/">http://localhost:90931/</a>'),
        ("javascript:alert(1)", "javascript:alert(1)"),
    ],
)
def test_text_is_linked(text: str, html: str) -> None:
    assert linked(text).replace(' rel="noopener"', "") == html


def test_heading_is_not_linked() -> None:
    assert linked("# AgentDown") == "<h1>AgentDown</h1>\n"


def test_query_can_be_run() -> None:
    page = linked('```promql\nsum(up{job="a&b"}) > 1\n```\n')
    href = "http://localhost:19090/graph?g0.expr=sum%28up%7Bjob%3D%22a%26b%22%7D%29%20%3E%201&amp;g0.tab=1"
    assert page.endswith(f'</pre>\n<p class="run"><a href="{href}">Run this query</a> </p>')


def test_each_of_several_queries_can_be_run_but_none_with_a_placeholder() -> None:
    page = linked("```promql\nup\ncount by (<label>) (x)\ny\n```\n")
    assert re.findall(r">(Run [^<]+)</a>", page) == ["Run query 1", "Run query 3"]
    assert "Run" not in linked("```promql\ncount by (<label>) (x)\n```\n")
    assert "Run" not in linked("```sh\nls\n```\n")
    assert "Run" not in runbooks.render("```promql\nup\n```\n", Places())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb\n", ["a", "b"]),
        ("# what\na\n\nb", ["a", "b"]),
        ("sum(\n  a)\nb", ["sum(\n  a)", "b"]),
        ("a > 1\nand b\n/ c\norder", ["a > 1\nand b\n/ c", "order"]),
        ('a{x="1",\n y="2"}', ['a{x="1",\n y="2"}']),
    ],
)
def test_block_is_split_into_queries(text: str, expected: list[str]) -> None:
    assert queries(text) == expected


@pytest.mark.parametrize("path", sorted(Path("docs/runbooks").glob("*.md")), ids=lambda path: path.stem)
def test_list_has_everything_of_a_bundled_runbook(path: Path) -> None:
    found = runbooks.summary(path.stem, path.read_text(encoding="utf-8"))
    assert found.severity
    assert (Path("rules/policies") / f"{found.group}.yaml").exists()
    assert found.meaning.endswith(".")
    assert "`" not in found.meaning


def test_page_that_says_little_is_listed_by_its_first_letter() -> None:
    assert runbooks.summary("own", "some *text*") == runbooks.Summary("own", "own", "", "O", "")
    assert runbooks.summary("own", "# Box\n\n**Severity** odd\n\n## Meaning\n\nIt *is*\nso. Yes.") == runbooks.Summary(
        "own", "Box", "", "B", "It is so."
    )
