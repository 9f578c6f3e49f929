"""Streams of server-sent events as the HTML standard reads them (section 9.2.6): lines end with CR, LF or both.

An event ends with an empty line; a byte order mark at the start is none of it.
"""

import re
from collections.abc import Callable

CONTENT_TYPE = "text/event-stream"
MAX_ID_BYTES = 2048
"""Longest line of an id that is waited for; a longer one passes as it is."""
_END = re.compile(rb"\n\r\n?|\n\n|\r\r\n?")
_PLAIN_END = re.compile(rb"\n\n")
"""What `_END` finds where no line ends with CR; a literal is found four times as fast."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_IDS = tuple((end + b"id:", re.compile(end + rb"id: ?([^ \r\n][^\r\n]*)(?=[\r\n])")) for end in (b"\n", b"\r"))
"""How the line of an id begins, the end before it included, and what it is; literals are found fast."""


class TooLargeError(Exception):
    """Something is longer than what is looked at."""


def is_stream(content_type: str) -> bool:
    """Whether an answer of this type is a stream of events."""
    return content_type.partition(";")[0].strip().lower() == CONTENT_TYPE


class EventReader:
    """Takes a stream apart into whole events, each with its empty line; looks at no byte twice."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._held = bytearray()
        self._seen = 0
        self._has_begun = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes and return the events that they complete; raises TooLargeError."""
        held, events, start = self._held, list[bytes](), 0
        held += chunk
        ending = _PLAIN_END if held.find(b"\r", self._seen) < 0 else _END
        while match := ending.search(held, max(start, self._seen)):
            events.append(bytes(held[start : match.end()]))
            start = match.end()
        del held[:start]
        # Of an end that is torn, one byte has come.
        self._seen = max(0, len(held) - 1)
        if len(held) > self._max:
            raise TooLargeError
        if events and not self._has_begun:
            self._has_begun = True
            events[0] = events[0].removeprefix(_BYTE_ORDER_MARK)
        return events


def fields(event: bytes) -> list[tuple[bytes, bytes]]:
    """Return the lines of an event as (name, value); a comment has no name."""
    parts = (line.partition(b":") for line in event.splitlines() if line)
    return [(name, value.removeprefix(b" ")) for name, _, value in parts]


def data_of(found: list[tuple[bytes, bytes]]) -> bytes:
    """Return the data that the fields of an event carry."""
    return b"\n".join(value for name, value in found if name == b"data")


class IdSealer:
    """Replaces the ids of events while they pass; nothing waits but a line that has not ended and may be an id."""

    def __init__(self, seal: Callable[[bytes], bytes]) -> None:
        self._seal = seal
        self._before = b"\n"
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes and return what may pass."""
        passed = self._before + self._held + chunk
        self._held = _torn_id(passed)
        if self._held:
            passed = passed[: -len(self._held)]
        self._before = passed[-1:]
        for begin, line in _IDS:
            if begin in passed:
                passed = line.sub(self._sealed, passed)
        return passed[1:]

    def end(self) -> bytes:
        """Return what is left when the stream has ended."""
        rest, self._held = self._held, b""
        return rest

    def _sealed(self, line: re.Match[bytes]) -> bytes:
        return line[0][:1] + b"id: " + self._seal(line[1])


def _torn_id(passed: bytes) -> bytes:
    """Return the last line where it has not ended and may become an id."""
    if passed.endswith((b"\n", b"\r")):
        return b""
    start = max(passed.rfind(b"\n"), passed.rfind(b"\r")) + 1
    line = passed[start : start + MAX_ID_BYTES + 1] if start else b""
    is_torn = line in (b"i", b"id") or line.startswith(b"id:")
    return line if is_torn and len(line) <= MAX_ID_BYTES else b""
