"""The form of the audit log: a JSON line a record, sealed with a keyed hash over all its bytes and the record before.

Version 1: a line is `{"v":1,"seq":N,"ts":T,<fields>,"prev":P,"mac":M}` in UTF-8 without blanks; P is the `mac` of
record N-1 (64 zeros for the first) and M the HMAC-SHA256, in hex, of `mcp-lookout-audit-v1`, a zero byte and every
byte of the line before `,"mac":`. Whoever lacks the key can neither change, insert, reorder nor cut out a record
unseen; a cut tail is what length and head, scraped by Prometheus, give away.
"""

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

GENESIS = "0" * 64
"""`prev` of the first record."""
_DOMAIN = b"mcp-lookout-audit-v1\x00"
_MAC = b',"mac":"'
_MAC_LENGTH = len(_MAC) + 64 + len(b'"}')
SEGMENT_PATTERN = "audit-*.jsonl"
_OWN_FIELDS = frozenset({"v", "seq", "ts", "prev", "mac"})


class Link(NamedTuple):
    """Where a chain stands: how many records it has, and the seal of the last one."""

    length: int = 0
    head: str = GENESIS

    @property
    def head_number(self) -> int:
        """First 52 bits of the head: a whole number that a Prometheus sample holds exactly."""
        return int(self.head[:13], 16)


@dataclass(frozen=True)
class Record:
    """One verified record: its number, its fields and its seal."""

    number: int
    fields: Mapping[str, Any]
    previous: str
    seal: str


class Sealer:
    """Computes HMAC-SHA256 (RFC 2104) with one key, whose state is prepared once and not for every record."""

    def __init__(self, key: bytes) -> None:
        block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + _DOMAIN)
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))
        self.key_id = hmac.digest(key, b"mcp-lookout-audit-key-id", "sha256").hex()[:16]
        """Tells keys apart and gives nothing away."""

    def mac(self, data: bytes) -> str:
        """Return the seal of a line's bytes, in hex."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(data)
        outer.update(inner.digest())
        return outer.hexdigest()

    def seal(self, link: Link, timestamp: str, bodies: Iterable[bytes]) -> tuple[list[bytes], Link]:
        """Return the lines of the next records, their ends included, and where the chain stands then."""
        number, head, lines = link.length, link.head, []
        moment = timestamp.encode()
        for body in bodies:
            number += 1
            line = b'{"v":1,"seq":%d,"ts":"%b",%b,"prev":"%b"' % (number, moment, body, head.encode())
            head = self.mac(line)
            lines.append(b'%b,"mac":"%b"}\n' % (line, head.encode()))
        return lines, Link(number, head)

    def opens(self, line: bytes) -> bool:
        """Whether this key made the seal of a line (without its end of line)."""
        body, tail = line[:-_MAC_LENGTH], line[-_MAC_LENGTH:]
        expected = b'%b%b"}' % (_MAC, self.mac(body).encode())
        return hmac.compare_digest(expected, tail)


def fragment(fields: Mapping[str, Any]) -> bytes:
    """Return fields sorted by name, without braces; raises ValueError for names the chain itself uses."""
    if not _OWN_FIELDS.isdisjoint(fields):
        raise ValueError("a record cannot carry the chain's own fields")
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)[1:-1]


def open_record(sealers: Iterable[Sealer], line: bytes) -> Record | None:
    """Return the record of a line (without its end of line) whose seal one of the keys made; None for any other."""
    if not any(sealer.opens(line) for sealer in sealers):
        return None
    try:
        fields = orjson.loads(line)
        return Record(fields["seq"], fields, fields["prev"], fields["mac"])
    except (ValueError, KeyError, TypeError):
        return None


def segments(folder: Path) -> list[Path]:
    """Return the segment files of a folder, oldest first; a name tells the number of its first record."""
    return sorted(path for path in folder.glob(SEGMENT_PATTERN) if path.stem.removeprefix("audit-").isdigit())


def segment_path(folder: Path, first_number: int) -> Path:
    """Return where the segment that starts with this record lives."""
    return folder / f"audit-{first_number:012d}.jsonl"


def first_number(segment: Path) -> int:
    """Return the number of a segment's first record, by its name."""
    return int(segment.stem.removeprefix("audit-"))


def lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a segment without their ends; a torn last line is yielded too."""
    with path.open("rb") as file:
        for line in file:
            yield line.rstrip(b"\n")
