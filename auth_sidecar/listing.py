"""Lists show a caller only what it may use: the same decision as for calls, applied to what the server behind lists.

What cannot be read in one way is not passed on: a list may be in there. A filtered list differs from caller to caller,
so it must not stay `cacheScope: public` (MCP 2026-07-28, caching).
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from auth_sidecar import strict_json
from auth_sidecar.events import EventReader, TooLargeError, data_of, fields

LISTS = {
    "tools/list": ("tools", "tools/call", "name"),
    "prompts/list": ("prompts", "prompts/get", "name"),
    "resources/list": ("resources", "resources/read", "uri"),
}
"""Method -> where the entries are, which method uses one, and by which key."""
RESUMED = "http/get"
"""A legacy GET stream; the answer to a list that was asked for before may come here (`Last-Event-ID`)."""
MAX_LIST_BYTES = 8 << 20
"""Largest answer that is filtered; a larger one is not passed on."""
_MARKS = (*(f'"{section}"'.encode() for section, _, _ in LISTS.values()), b"\\u")
"""Without any of these a document has no list: its keys stand there as they are, or with letters escaped."""
_BESIDE_DATA = frozenset({b"", b"event", b"id", b"retry"})
_FIELDS = _BESIDE_DATA | {b"data"}

May = Callable[[str, str], bool]
"""Whether the caller may use (method, name)."""


class Filtered(NamedTuple):
    """A filtered message and how many entries it no longer shows."""

    text: bytes
    hidden: Mapping[str, int]


def filter_message(text: bytes, may: May) -> Filtered:
    """Return a JSON-RPC message, or a batch, with the entries that the caller may use, in their order.

    What has no list is returned unchanged. Raises ValueError for what is no JSON-RPC, or can be read in two ways.
    """
    message = strict_json.parse(text)
    hidden = Counter[str]()
    members = message if isinstance(message, list) else [message]
    changed = [_filter_member(member, may, hidden) for member in members]
    if not hidden:
        return Filtered(text, {})
    filtered = json.dumps(
        changed if isinstance(message, list) else changed[0], ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )
    return Filtered(filtered.encode("utf-8", "surrogatepass"), hidden)


def _filter_member(message: object, may: May, hidden: Counter[str]) -> dict[str, Any]:
    """Return a message with fewer entries; `hidden` gets a number, be it 0, for each list in it."""
    if not isinstance(message, dict):
        raise ValueError("not a JSON-RPC message")
    result = message.get("result")
    found = [part for part in LISTS.values() if isinstance(result, dict) and part[0] in result]
    if not isinstance(result, dict) or not found:
        return message
    changed = dict(result)
    for section, use, key in found:
        entries = result[section]
        if not isinstance(entries, list):
            raise ValueError("a list that is none")
        changed[section] = [entry for entry in entries if _is_usable(entry, key, use, may)]
        hidden[section] += len(entries) - len(changed[section])
    if "cacheScope" in changed:
        changed["cacheScope"] = "private"
    return {**message, "result": changed}


def _is_usable(entry: object, key: str, use: str, may: May) -> bool:
    name = entry.get(key) if isinstance(entry, dict) else None
    return isinstance(name, str) and may(use, name)


class ListFilter:
    """Filters an answer while it passes: one JSON document, or the events of a stream; events pass when complete."""

    def __init__(self, method: str, may: May, *, is_stream: bool) -> None:
        self.hidden: Counter[str] = Counter()
        """Entries that the caller does not see, by what they are."""
        self._may_lack_list = method == RESUMED
        self._may = may
        self._events = EventReader(MAX_LIST_BYTES) if is_stream else None
        self._held = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes and return what may pass already; raises TooLargeError, ValueError."""
        if self._events:
            return b"".join([self._event(event) for event in self._events.feed(chunk)])
        self._held += chunk
        if len(self._held) > MAX_LIST_BYTES:
            raise TooLargeError
        return b""

    def end(self) -> bytes:
        """Return what is left when the answer has ended; a torn event does not pass. Raises ValueError."""
        rest = bytes(self._held)
        self._held.clear()
        return self._filtered(rest) if rest else b""

    def _event(self, event: bytes) -> bytes:
        found = fields(event)
        data = data_of(found)
        if data and not (self._may_lack_list and not any(mark in event for mark in _MARKS)):
            data = self._filtered(data)
        elif all(name in _FIELDS for name, _ in found):
            return event
        lines = [name + b": " + value for name, value in found if name in _BESIDE_DATA]
        if data:
            lines += [b"data: " + line for line in data.split(b"\n")]
        return b"\n".join([*lines, b"", b""])

    def _filtered(self, text: bytes) -> bytes:
        filtered = filter_message(text, self._may)
        self.hidden.update(filtered.hidden)
        return filtered.text
