"""Which running programs have no pages for a browser: Debian packages Prometheus and Alertmanager without theirs."""

from collections.abc import Iterable
from urllib.request import ProxyHandler, build_opener

# Both of Debian's pages say so in these words, with lines broken anywhere.
WITHOUT_PAGES = ("debian package", "does not include")
_opener = build_opener(ProxyHandler({}))


def without_pages(names: Iterable[tuple[str, str]]) -> list[str]:
    """Return, of (name, URL), the names of what answers with Debian's word that there is no web interface."""
    return [name for name, url in names if all(words in _page(url) for words in WITHOUT_PAGES)]


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
