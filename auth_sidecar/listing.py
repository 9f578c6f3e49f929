"""Lists show a caller only what it may use: the same decision as for calls, applied to what the server behind lists.

A filtered list differs from caller to caller, so it must not stay `cacheScope: public` (MCP 2026-07-28, caching).
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

LISTS = {
    "tools/list": ("tools", "tools/call", "name"),
    "prompts/list": ("prompts", "prompts/get", "name"),
    "resources/list": ("resources", "resources/read", "uri"),
}
"""Method -> where the entries are, which method uses one, and by which key."""
RESUMED = "http/get"
"""A legacy GET stream; the answer to a list that was asked for before may come here (`Last-Event-ID`)."""
_MARKS = tuple(f'"{section}"'.encode() for section, _, _ in LISTS.values())
MAX_LIST_BYTES = 8 << 20
"""Largest answer that is filtered; a larger one is not passed on."""

May = Callable[[str, str], bool]
"""Whether the caller may use (method, name)."""


class Filtered(NamedTuple):
    """A filtered message and how many entries it no longer shows."""

    text: bytes
    hidden: Mapping[str, int]


class ListTooLargeError(Exception):
    """An answer is larger than what is filtered."""


def filter_message(text: bytes, method: str, may: May) -> Filtered:
    """Return a JSON-RPC message with the entries that the caller may use, in their order; other messages unchanged.

    Raises ValueError when it is no JSON.
    """
    message = json.loads(text)
    result = message.get("result") if isinstance(message, dict) else None
    sections = LISTS.values() if method == RESUMED else (LISTS[method],)
    found = [part for part in sections if isinstance(result, dict) and isinstance(result.get(part[0]), list)]
    if not isinstance(result, dict) or not found:
        return Filtered(text, {})
    changed, hidden = dict(result), dict[str, int]()
    for section, use, key in found:
        entries: list[Any] = result[section]
        changed[section] = [entry for entry in entries if isinstance(entry, dict) and may(use, str(entry.get(key)))]
        hidden[section] = len(entries) - len(changed[section])
    if "cacheScope" in changed:
        changed["cacheScope"] = "private"
    filtered = json.dumps({**message, "result": changed}, ensure_ascii=False, separators=(",", ":"))
    return Filtered(filtered.encode("utf-8", "surrogatepass"), hidden)


class ListFilter:
    """Filters an answer while it passes: one JSON document, or the events of a stream; events pass when complete."""

    def __init__(self, method: str, may: May, *, is_stream: bool) -> None:
        self.hidden: Counter[str] = Counter()
        """Entries that the caller does not see, by what they are."""
        self._method = method
        self._may = may
        self._is_stream = is_stream
        self._held = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes and return what may pass already."""
        self._held += chunk
        if len(self._held) > MAX_LIST_BYTES:
            raise ListTooLargeError
        passed = bytearray()
        while self._is_stream and (end := _end_of_event(self._held)):
            passed += self._event(bytes(self._held[:end]))
            del self._held[:end]
        return bytes(passed)

    def end(self) -> bytes:
        """Return what is left when the answer has ended; a torn event does not pass."""
        rest = bytes(self._held)
        self._held.clear()
        return b"" if self._is_stream or not rest else self._filtered(rest)

    def _event(self, event: bytes) -> bytes:
        lines = event.splitlines()
        data = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
        if not any(data) or (self._method == RESUMED and not any(mark in event for mark in _MARKS)):
            return event
        others = [line for line in lines if line and not line.startswith(b"data:")]
        return b"\n".join([*others, b"data: " + self._filtered(b"\n".join(data)), b"", b""])

    def _filtered(self, text: bytes) -> bytes:
        filtered = filter_message(text, self._method, self._may)
        self.hidden.update(filtered.hidden)
        return filtered.text


def _end_of_event(held: bytearray) -> int:
    """Return the length of the first complete event, its empty line included; 0 when none is complete."""
    ends = [place + len(mark) for mark in (b"\n\n", b"\r\n\r\n", b"\r\r") if (place := held.find(mark)) >= 0]
    return min(ends, default=0)
