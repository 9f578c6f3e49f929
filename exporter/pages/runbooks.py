"""Runbooks as pages: docs/runbooks/<policy_name>.md, read by the Markdown specification with HTML off."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from aiohttp import web
from markdown_it import MarkdownIt
from markupsafe import Markup

from contract.ports import ENDPOINTS
from contract.vocabulary import Severity
from exporter.config import ExporterConfig
from exporter.pages.layout import page, tabs
from exporter.pages.runbook_links import Places, point
from exporter.service import Exporter

BUNDLED = Path(__file__).resolve().parents[2] / "docs" / "runbooks"
_TITLE = re.compile(r"^#\s+(.+?)\s*#*$", re.MULTILINE)
_SEVERITY = re.compile(r"^\*\*Severity\*\* (\w+)", re.MULTILINE)
_POLICY_FILE = re.compile(r"rules/policies/([a-z0-9_]+)\.yaml")
_MEANING = re.compile(r"^## Meaning\s+(.+?[.!?])(?:\s|\Z)", re.MULTILINE | re.DOTALL)
_HOST = re.compile(r"[A-Za-z0-9._\-]+(:\d+)?|\[[0-9a-fA-F:.]+\](:\d+)?")


@dataclass(frozen=True)
class Summary:
    """What the list tells of a runbook; empty where its page does not say."""

    name: str
    title: str
    severity: str
    group: str
    meaning: str


def setup(app: web.Application, exporter: Exporter) -> None:
    """Serve the list at /runbooks/ and each page at /runbooks/<policy_name>."""

    async def index(_request: web.Request) -> web.Response:
        found = grouped(summary(name, path.read_text(encoding="utf-8")) for name, path in files(exporter).items())
        return page("runbooks.html", links=tabs(exporter.config), tab="runbooks", groups=found)

    async def to_index(_request: web.Request) -> web.Response:
        raise web.HTTPMovedPermanently("/runbooks/")

    async def show(request: web.Request) -> web.Response:
        found, name = files(exporter), request.match_info["name"]
        shared: dict[str, Any] = {"links": tabs(exporter.config), "tab": "runbooks"}
        if name not in found:
            return page("no_runbook.html", status=404, name=name, **shared)
        alerts = {title(path): f"/runbooks/{other}" for other, path in found.items() if other != name}
        body = render(found[name].read_text(encoding="utf-8"), places(exporter.config, _origin(request), alerts))
        return page("runbook.html", title=title(found[name]), body=body, **shared)

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


def summary(name: str, text: str) -> Summary:
    """Read what the list tells of a runbook: its severity, the first sentence of its meaning, its group.

    The group is the file of its policy, or the first letter of a page that names none.
    """
    heading, severity, file, meaning = (find.search(text) for find in (_TITLE, _SEVERITY, _POLICY_FILE, _MEANING))
    titled = heading[1] if heading else name
    return Summary(
        name,
        titled,
        severity[1] if severity and severity[1] in set(Severity) else "",
        file[1] if file else titled[0].upper(),
        _plain(meaning[1]) if meaning else "",
    )


def grouped(runbooks: Iterable[Summary]) -> list[tuple[str, list[Summary]]]:
    """Return the runbooks by group, both in the order of their names."""
    ordered = sorted(runbooks, key=lambda one: (one.group, one.title))
    return [(name, list(found)) for name, found in groupby(ordered, key=lambda one: one.group)]


def places(config: ExporterConfig, own_url: str, alerts: Mapping[str, str]) -> Places:
    """Return where the addresses of the default installation are in this one, as a browser reaches them."""
    grafana = next((url for name, url in config.links.items() if name.lower() == "grafana"), "")
    actual = {
        "exporter": own_url,
        "prometheus": config.prometheus.link if config.prometheus else "",
        "alertmanager": config.alertmanager.link if config.alertmanager else "",
        "grafana": grafana.partition("/d/")[0].rstrip("/"),
    }
    moved = {f"http://localhost:{ENDPOINTS[service].port}": url for service, url in actual.items() if url}
    return Places(moved, alerts, actual["prometheus"])


def render(text: str, leads: Places | None = None) -> Markup:
    """Turn Markdown into HTML; HTML inside it is shown as text, and links keep to harmless schemes."""
    parser = _parser()
    tokens = point(parser.parse(text), leads or Places())
    return Markup(parser.renderer.render(tokens, parser.options, {}))  # noqa: S704 - the renderer escapes


def _origin(request: web.Request) -> str:
    """Return our own address as the browser wrote it, empty when it is odd."""
    return f"{request.scheme}://{request.host}" if _HOST.fullmatch(request.host) else ""


def _plain(text: str) -> str:
    (inline,) = _parser().parseInline(" ".join(text.split()))
    return "".join(token.content for token in inline.children or [])


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table")
