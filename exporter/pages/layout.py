"""What all pages share: templates that escape everything, the style sheet, and words for numbers and moments."""

from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from aiohttp import web

from contract.web import release
from exporter.config import ExporterConfig
from exporter.health.score import status_of

FOLDER = Path(__file__).parent / "templates"
STYLE_PATH = "/assets/style.css"
CACHE_SECONDS = 3600
_SHORT_FORMS = {"cpu": "CPU", "mcp": "MCP", "api": "API", "slo": "SLO", "slos": "SLOs", "secops": "SecOps"}


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "ago": ago,
        "span": span,
        "seconds": seconds,
        "words": words,
        "heading": heading,
        "count": count,
        "tone": tone,
    }
    environment.globals |= {"release": release()}
    return environment


def page(template: str, status: int = 200, **values: Any) -> web.Response:
    """Render a template as an HTML answer that nobody keeps."""
    text = _environment().get_template(template).render(values)
    return web.Response(status=status, text=text, content_type="text/html", headers={"Cache-Control": "no-store"})


def tabs(config: ExporterConfig) -> list[tuple[str, str]]:
    """Return the links at the top of every page, beside our own pages."""
    apis = [("Prometheus", config.prometheus), ("Alertmanager", config.alertmanager)]
    return [*config.links.items(), *((name, api.link) for name, api in apis if api)]


def add_style(app: web.Application) -> None:
    """Serve the style sheet."""
    sheet = (FOLDER / "style.css").read_text(encoding="utf-8")

    async def style(_request: web.Request) -> web.Response:
        headers = {"Cache-Control": f"max-age={CACHE_SECONDS}"}
        return web.Response(text=sheet, content_type="text/css", headers=headers)

    app.router.add_get(STYLE_PATH, style)


def ago(age: float | None) -> str:
    """Say how long ago: "now", "12 s ago", "3 min ago"."""
    if age is None:
        return "never"
    return "now" if age < 1 else f"{span(age)} ago"


def span(length: float) -> str:
    """Say how long in the largest fitting unit."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if length >= size:
            return f"{int(length // size)} {unit}"
    return f"{int(length)} s"


def seconds(value: float | None) -> str:
    """Write a duration as people read it: 0.8 ms, 41 ms, 1.20 s, 3 min."""
    if value is None:
        return "–"  # noqa: RUF001 - a dash for people
    if value < 0.01:
        return f"{1000 * value:.1f} ms"
    if value < 1:
        return f"{1000 * value:.0f} ms"
    return f"{value:.2f} s" if value < 10 else span(value)


def words(name: str) -> str:
    """Turn a name into words: knowledge_base is "knowledge base"; short forms are written as people do, CPU."""
    return " ".join(_SHORT_FORMS.get(word.lower(), word) for word in name.replace("_", " ").split(" "))


def heading(name: str) -> str:
    """Turn a name into words that begin a line."""
    text = words(name)
    return text[:1].upper() + text[1:]


def tone(points: float | None) -> str:
    """Name the colour of a score."""
    return "unknown" if points is None else status_of(points)


def count(value: float) -> str:
    """Write a count without a needless point, thousands apart."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
