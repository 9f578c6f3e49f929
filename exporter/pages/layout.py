"""The exporter's part of the frame: its templates, the colour of a score, and the links at the top."""

from functools import cache
from pathlib import Path
from typing import Any

from aiohttp import web

from contract.pages.layout import Pages
from exporter.config import ExporterConfig
from exporter.health.score import status_of

FOLDER = Path(__file__).parent / "templates"


@cache
def _pages() -> Pages:
    return Pages(FOLDER, {"tone": tone})


def page(template: str, status: int = 200, **values: Any) -> web.Response:
    """Render a template as an HTML answer that nobody keeps."""
    own = (("status", "Status", "/"), ("runbooks", "Runbooks", "/runbooks/"))
    return _pages().show(template, status, own=own, **values)


def tabs(config: ExporterConfig) -> list[tuple[str, str]]:
    """Return the links at the top of every page, beside our own pages."""
    apis = [("Prometheus", config.prometheus), ("Alertmanager", config.alertmanager)]
    return [*config.links.items(), *((name, api.link) for name, api in apis if api)]


def tone(points: float | None) -> str:
    """Name the colour of a score."""
    return "unknown" if points is None else status_of(points)
