"""Where the addresses, alert names and queries of a runbook lead in this installation. Pure: tokens in, tokens out."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from markdown_it.token import Token

_ALERT = r"[A-Z][a-z]+(?:[A-Z][a-z]+)+"
_ADDRESS = r"https?://[^\s<>\"'`]*[^\s<>\"'`.,;:!?)]"
_LINKABLE = re.compile(rf"({_ADDRESS}|\b{_ALERT}\b)")
_SIBLING = re.compile(r"^(?:\./)?([a-z0-9_]+)\.md(#.*)?$")
_PLACEHOLDER = re.compile(r"<[a-z_ ]+>")
_GOES_ON = re.compile(r"^(?:and|or|unless|by|without|on|ignoring|offset|[-+*/%^=!<>)}\]])(?:\b|\s|$)")


@dataclass(frozen=True)
class Places:
    """What a runbook may point at."""

    addresses: Mapping[str, str] = field(default_factory=dict)
    """Where the services of the default installation, http://localhost:9090 and the like, are in this one."""
    alerts: Mapping[str, str] = field(default_factory=dict)
    """Pages by name of alert."""
    prometheus: str = ""
    """Where a query can be run, empty for nowhere."""


def point(tokens: Sequence[Token], places: Places) -> list[Token]:
    """Return a page's tokens with addresses moved, names linked and queries runnable."""
    pointed: list[Token] = []
    for index, token in enumerate(tokens):
        token.content = _moved(token.content, places)
        if token.type == "inline":
            is_heading = index > 0 and tokens[index - 1].type == "heading_open"
            token.children = list(_linked(token.children or [], places, is_heading=is_heading))
        pointed.append(token)
        if token.type == "fence" and token.info.strip() == "promql" and places.prometheus:
            pointed += _run_links(token, places.prometheus)
    return pointed


def queries(text: str) -> list[str]:
    """Split a block into its queries: a line begins a new one, unless a bracket is open or an operator goes on."""
    found: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if found and (_is_open(found[-1]) or _GOES_ON.match(stripped)):
            found[-1] += f"\n{line}"
        else:
            found.append(stripped)
    return found


def _is_open(query: str) -> bool:
    return any(query.count(opening) > query.count(closing) for opening, closing in ("()", "{}", "[]"))


def _moved(text: str, places: Places) -> str:
    if not places.addresses:
        return text
    known = "|".join(map(re.escape, places.addresses))
    return re.sub(rf"(?:{known})(?!\d)", lambda match: places.addresses[match[0]], text)


def _linked(children: Sequence[Token], places: Places, *, is_heading: bool) -> Iterator[Token]:
    depth = 0
    for token in children:
        depth += token.nesting if token.type in ("link_open", "link_close") else 0
        if token.type == "link_open":
            token.attrSet("href", _target(str(token.attrGet("href")), places))
        token.content = _moved(token.content, places)
        if depth or is_heading or token.type not in ("text", "code_inline"):
            yield token
        elif token.type == "code_inline":
            yield from _link([token], _page(token.content, places))
        else:
            yield from _link_words(token, places)


def _target(href: str, places: Places) -> str:
    sibling = _SIBLING.match(href)
    return f"/runbooks/{sibling[1]}{sibling[2] or ''}" if sibling else _moved(href, places)


def _link_words(token: Token, places: Places) -> Iterator[Token]:
    for piece in _LINKABLE.split(token.content):
        if piece:
            yield from _link([_text(piece)], _page(piece, places))


def _page(text: str, places: Places) -> str | None:
    """Return where a name or an address leads; an address with a placeholder leads nowhere."""
    return text if re.fullmatch(_ADDRESS, text) else places.alerts.get(text)


def _link(tokens: list[Token], href: str | None) -> list[Token]:
    if href is None:
        return tokens
    return [Token("link_open", "a", 1, attrs={"href": href, "rel": "noopener"}), *tokens, Token("link_close", "a", -1)]


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def _run_links(fence: Token, prometheus: str) -> list[Token]:
    found = queries(fence.content)
    runnable = [(place, query) for place, query in enumerate(found, 1) if not _PLACEHOLDER.search(query)]
    children: list[Token] = []
    for place, query in runnable:
        href = f"{prometheus}/graph?g0.expr={quote(query, safe='')}&g0.tab=1"
        words = "Run this query" if len(found) == 1 else f"Run query {place}"
        children += [*_link([_text(words)], href), _text(" ")]
    if not children:
        return []
    opening = Token("paragraph_open", "p", 1, attrs={"class": "run"}, block=True)
    return [opening, Token("inline", "", 0, children=children, block=True), Token("paragraph_close", "p", -1)]
