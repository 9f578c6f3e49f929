"""The last messages: bounded in memory, and in a JSON-lines file that survives a restart."""

import json
import logging
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from heapq import merge
from pathlib import Path

from demo.sink.message import Message, restored

logger = logging.getLogger(__name__)

CAPACITY = 500
MAX_CHARACTERS = 32_000_000
"""Text kept in all messages together; large mails push out more than one older message."""
REFUSED_SHARE = 10
"""Refused messages have a bound of their own, this part of the other: anyone can make them, and many of them."""
REWRITE_AFTER = 4
"""The file is rewritten when it holds this many times the messages in memory."""


class Shelf:
    """The last messages of one kind, bounded in number and in text; the newest stays, whatever its size."""

    def __init__(self, capacity: int, max_characters: int) -> None:
        self.messages: deque[Message] = deque()
        self._capacity = capacity
        self._max_characters = max_characters
        self._characters = 0

    def put(self, message: Message) -> None:
        """Keep a message, and drop the oldest ones that are too many."""
        self.messages.append(message)
        self._characters += _size(message)
        while len(self.messages) > self._capacity or (self._is_too_large() and len(self.messages) > 1):
            self._characters -= _size(self.messages.popleft())

    def _is_too_large(self) -> bool:
        return self._characters > self._max_characters


class Store:
    """Messages, oldest first; refused ones never push out accepted ones."""

    def __init__(self, folder: Path | None = None, capacity: int = CAPACITY) -> None:
        self._file = folder / "messages.jsonl" if folder else None
        self._accepted = Shelf(capacity, MAX_CHARACTERS)
        refused = max(1, capacity // REFUSED_SHARE)
        self._refused = Shelf(refused, MAX_CHARACTERS // REFUSED_SHARE)
        self._max_lines = REWRITE_AFTER * (capacity + refused)
        self._lines = 0
        self._last_id = 0
        if self._file and self._file.exists():
            for message in _read(self._file):
                self._keep(message)
                self._lines += 1

    def add(self, message: Message) -> Message:
        """Keep a message, with its number and time, and return it so."""
        numbered = replace(message, id=self._last_id + 1, received=time.time())
        self._keep(numbered)
        self._write(numbered)
        return numbered

    def all(self, channel: str = "", since: float = 0.0, after: int = 0) -> list[Message]:
        """Return messages of a channel received after a time (Unix seconds) and after a number, oldest first."""
        return [
            message
            for message in self._merged()
            if channel in ("", message.channel) and message.received > since and message.id > after
        ]

    def get(self, number: int) -> Message | None:
        """Return the message with a number, if it is still there."""
        return next((message for message in self._merged() if message.id == number), None)

    def _keep(self, message: Message) -> None:
        (self._refused if message.refusal else self._accepted).put(message)
        self._last_id = max(self._last_id, message.id)

    def _merged(self) -> Iterator[Message]:
        return merge(self._accepted.messages, self._refused.messages, key=lambda message: message.id)

    def _write(self, message: Message) -> None:
        if not self._file:
            return
        self._lines += 1
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            if self._lines > self._max_lines:
                self._rewrite(self._file)
            else:
                with self._file.open("a", encoding="utf-8") as lines:
                    lines.write(_line(message))
        except OSError:
            logger.exception("message is kept in memory only")

    def _rewrite(self, file: Path) -> None:
        fresh = file.with_suffix(".new")
        kept = list(self._merged())
        fresh.write_text("".join(map(_line, kept)), encoding="utf-8")
        fresh.replace(file)
        self._lines = len(kept)


def _size(message: Message) -> int:
    return len(message.raw) + len(message.html) + len(message.text)


def _line(message: Message) -> str:
    return json.dumps(message.document()) + "\n"


def _read(file: Path) -> Iterator[Message]:
    """Yield the messages of a file; a line that was cut short is passed over."""
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                yield restored(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError):
                logger.warning("unreadable line passed over", extra={"file": str(file)})
