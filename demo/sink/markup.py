"""HTML that cannot be led astray: whatever is not markup already is escaped, and only web addresses become links."""

import html
import re
from collections.abc import Iterator
from urllib.parse import urlsplit


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


_EMPTY = frozenset({"meta", "link", "br"})
_RICH = re.compile(r"<(https?://[^|>\s]+)(?:\|([^>]*))?>|(https?://[^\s<>|]+)|(?<!\w)\*([^*\n]+)\*(?!\w)")


def tag(name: str, /, *children: str | None, **attributes: str | None) -> Html:
    """Return an element; a trailing underscore of an attribute's name is dropped, attributes of None are left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(child if isinstance(child, Html) else html.escape(child) for child in children if child)
    return Html(f"<{name}{given}>" if name in _EMPTY else f"<{name}{given}>{inner}</{name}>")


def joined(*parts: str) -> Html:
    """Return parts one after the other."""
    return Html("".join(part if isinstance(part, Html) else html.escape(part) for part in parts))


def link(label: str, address: str, class_: str | None = None) -> Html:
    """Return a link that opens beside the page; an address that is not of the web stays text."""
    try:
        is_web = urlsplit(address).scheme in ("http", "https")
    except ValueError:
        is_web = False
    if not is_web:
        return tag("span", f"{label} ({address})", class_=class_)
    return tag("a", label, href=address, target="_blank", rel="noopener noreferrer", class_=class_)


def rich(text: str, *, is_escaped: bool = False) -> Html:
    """Return text with links and *bold* as Slack writes them; `is_escaped` text has &lt; for <."""

    def plain(part: str) -> str:
        return html.unescape(part) if is_escaped else part

    def parts() -> Iterator[str]:
        position = 0
        for found in _RICH.finditer(text):
            yield plain(text[position : found.start()])
            address, label, bare, bold = found.groups()
            yield tag("strong", plain(bold)) if bold else link(plain(label or address or bare), plain(address or bare))
            position = found.end()
        yield plain(text[position:])

    return joined(*parts())
