"""What running programs say that a person should know at `make up` and `make down`.

Debian packages Prometheus and Alertmanager without their pages, the Grafana of the PATH may be old, alerts may fire.
"""

import json
from collections.abc import Iterable
from typing import Any
from urllib.request import ProxyHandler, build_opener

# Both of Debian's pages say so in these words, with lines broken anywhere.
WITHOUT_PAGES = ("debian package", "does not include")
OLDEST_GRAFANA = 11
"""DESIGN.md section 9."""
FIRING = "/api/v2/alerts?silenced=false&inhibited=false&filter=alertname%21%3D%22Watchdog%22"
_opener = build_opener(ProxyHandler({}))


def without_pages(names: Iterable[tuple[str, str]]) -> list[str]:
    """Return, of (name, URL), the names of what answers with Debian's word that there is no web interface."""
    return [name for name, url in names if all(words in _page(url) for words in WITHOUT_PAGES)]


def too_old_grafana(health_url: str) -> str:
    """Return a line for a Grafana that is older than what the dashboards are tested with, else nothing."""
    answer = _json(health_url)
    version = str(answer.get("version", "")) if isinstance(answer, dict) else ""
    major = version.partition(".")[0]
    if not major.isdigit() or int(major) >= OLDEST_GRAFANA:
        return ""
    return f"Grafana {version} may work, but is older than {OLDEST_GRAFANA}, the oldest that is supported."


def still_firing(alerts_url: str) -> str:
    """Return a line that names the alerts that fire, and what becomes of them; nothing where none does."""
    answer = _json(alerts_url)
    names = sorted({alert["labels"]["alertname"] for alert in answer}) if isinstance(answer, list) else []
    if not names:
        return ""
    return f"Still firing: {', '.join(names)}. Of what is mended while the stack is down no resolved message will come."


def _json(url: str) -> Any:
    try:
        with _opener.open(url, timeout=5) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return None


def _page(url: str) -> str:
    """Return the page as words with single spaces; nothing where none answers."""
    try:
        with _opener.open(url, timeout=5) as answer:
            return " ".join(answer.read(100_000).decode(errors="replace").lower().split())
    except OSError:
        return ""


def advice(names: list[str]) -> str:
    """Return the line that says it, and how to get the pages."""
    return (
        f"{' and '.join(names)}: API only, as Debian packages it. For the web pages put the programs of "
        "https://prometheus.io/download/ on the PATH, then `make down` and `make up`; or use Docker."
    )
