"""What all pages share: templates that escape everything, the style sheet, and words for numbers and moments."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from contract.web import release

FOLDER = Path(__file__).parent / "templates"
STYLE_PATH = "/assets/style.css"
CACHE_SECONDS = 3600
_SHORT_FORMS = {"cpu": "CPU", "mcp": "MCP", "api": "API", "slo": "SLO", "slos": "SLOs", "secops": "SecOps"}


class Pages:
    """The templates of one service, in the frame that all services share."""

    def __init__(self, folder: Path, filters: Mapping[str, Callable[..., str]] | None = None) -> None:
        """Take the folder of the service's own templates, and filters that only these use."""
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader([folder, FOLDER]),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        shared = {"ago": ago, "span": span, "seconds": seconds, "words": words, "heading": heading, "count": count}
        self._environment.filters |= {**shared, **(filters or {})}
        self._environment.globals |= {"release": release()}

    def show(self, template: str, status: int = 200, **values: Any) -> web.Response:
        """Render a template as an HTML answer that nobody keeps."""
        text = self._environment.get_template(template).render(values)
        return web.Response(status=status, text=text, content_type="text/html", headers={"Cache-Control": "no-store"})


def add_style(app: web.Application) -> None:
    """Serve the style sheet."""
    sheet = (FOLDER / "style.css").read_text(encoding="utf-8")

    async def style(_request: web.Request) -> web.Response:
        headers = {"Cache-Control": f"max-age={CACHE_SECONDS}"}
        return web.Response(text=sheet, content_type="text/css", headers=headers)

    app.router.add_get(STYLE_PATH, style)


def secured(*, forms: bool = False) -> Middleware:
    """Return a middleware that adds the security headers to every answer; `forms` lets pages send forms home."""
    policy = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'"
    target = "'self'" if forms else "'none'"
    headers = {
        "Content-Security-Policy": f"{policy}; form-action {target}",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        # Without a referrer a browser also leaves out from where a form comes.
        "Referrer-Policy": "same-origin" if forms else "no-referrer",
    }

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except web.HTTPException as error:
            error.headers.update(headers)
            raise
        response.headers.update(headers)
        return response

    return middleware


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


def count(value: float) -> str:
    """Write a count without a needless point, thousands apart."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
