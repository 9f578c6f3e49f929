"""HTML that cannot be led astray: whatever is not markup already is escaped, and only web addresses become links."""

import html
import re
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


_EMPTY = frozenset({"meta", "link", "br"})
_ADDRESS = r"(?P<bare>https?://[^\s<>|]+)"
_PLAIN = re.compile(_ADDRESS)
_SLACK = re.compile(
    r"<(?P<address>https?://[^|>\s]+)(?:\|(?P<label>[^>]*))?>|(?P<mention><[!@#][^>]+>)"
    rf"|{_ADDRESS}|(?<!\w)\*(?P<bold>[^*\n]+)\*(?!\w)"
)


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


def rich(text: str) -> Html:
    """Return text whose addresses are links."""
    return _marked(text, _PLAIN, lambda found: link(found["bare"], found["bare"]))


def slack_text(text: str) -> Html:
    """Return text as Slack shows it: escaped, with links, *bold* and those whom it calls."""
    return _marked(text, _SLACK, _slack_mark, html.unescape)


def mention(markup: str) -> str:
    """Return what people see of Slack's markup for a mention: `<!channel>` as @channel, `<#C1|general>` as #general."""
    name, _, label = markup[2:-1].partition("|")
    sigil = "#" if markup[1] == "#" else "@"
    return sigil + (label or name).removeprefix(sigil)


def _slack_mark(found: re.Match[str]) -> Html:
    if found["mention"]:
        return tag("mark", html.unescape(mention(found["mention"])))
    if found["bold"]:
        return tag("strong", html.unescape(found["bold"]))
    address = found["address"] or found["bare"]
    return link(html.unescape(found["label"] or address), html.unescape(address))


def _marked(
    text: str,
    pattern: re.Pattern[str],
    mark: Callable[[re.Match[str]], Html],
    plain: Callable[[str], str] = str,
) -> Html:
    def parts() -> Iterator[str]:
        position = 0
        for found in pattern.finditer(text):
            yield plain(text[position : found.start()])
            yield mark(found)
            position = found.end()
        yield plain(text[position:])

    return joined(*parts())
