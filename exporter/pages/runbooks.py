"""Runbooks as pages: docs/runbooks/<policy_name>.md, read by the Markdown specification with HTML off."""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from aiohttp import web
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from exporter.pages.layout import page
from exporter.service import Exporter

BUNDLED = Path(__file__).resolve().parents[2] / "docs" / "runbooks"
_TITLE = re.compile(r"^#\s+(.+?)\s*#*$", re.MULTILINE)
_SIBLING = re.compile(r"^(?:\./)?([a-z0-9_]+)\.md(#.*)?$")


def setup(app: web.Application, exporter: Exporter) -> None:
    """Serve the list at /runbooks/ and each page at /runbooks/<policy_name>."""

    async def index(_request: web.Request) -> web.Response:
        found = sorted((title(path), name) for name, path in files(exporter).items())
        return page("runbooks.html", runbooks=found)

    async def to_index(_request: web.Request) -> web.Response:
        raise web.HTTPMovedPermanently("/runbooks/")

    async def show(request: web.Request) -> web.Response:
        path = files(exporter).get(request.match_info["name"])
        if path is None:
            raise web.HTTPNotFound(text="no such runbook; see /runbooks/\n")
        return page("runbook.html", title=title(path), body=render(path.read_text(encoding="utf-8")))

    app.router.add_get("/runbooks", to_index)
    app.router.add_get("/runbooks/", index)
    app.router.add_get("/runbooks/{name}", show)


def files(exporter: Exporter) -> dict[str, Path]:
    """Return the runbooks by policy name; only what is listed here is ever opened, so no name leads elsewhere."""
    folder = exporter.config.runbooks or BUNDLED
    return {path.stem: path for path in sorted(folder.glob("*.md")) if path.stem.lower() != "readme"}


def title(path: Path) -> str:
    """Return a runbook's first heading, else its name."""
    match = _TITLE.search(path.read_text(encoding="utf-8"))
    return match[1] if match else path.stem


def render(text: str) -> Markup:
    """Turn Markdown into HTML; HTML inside it is shown as text, and links keep to harmless schemes."""
    parser = _parser()
    tokens = parser.parse(text)
    _point_at_pages(tokens)
    return Markup(parser.renderer.render(tokens, parser.options, {}))  # noqa: S704 - the renderer escapes


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table")


def _point_at_pages(tokens: Sequence[Token]) -> None:
    """Let links between runbook files lead to their pages."""
    for token in tokens:
        if token.children:
            _point_at_pages(token.children)
        if token.type == "link_open" and (match := _SIBLING.match(str(token.attrGet("href")))):
            token.attrSet("href", f"/runbooks/{match[1]}{match[2] or ''}")
