"""The form of the audit log: a JSON line a record, sealed with a keyed hash over all its bytes and the record before.

Version 1, a record without sealed fields: a line is `{"v":1,"seq":N,"ts":T,<fields>,"prev":P,"mac":M}` in UTF-8
without blanks; P is the `mac` of record N-1 (64 zeros for the first) and M the HMAC-SHA256, in hex, of
`mcp-lookout-audit-v1`, a zero byte and every byte of the line before `,"mac":`. Whoever lacks the key can neither
change, insert, reorder nor cut out a record unseen; a cut tail is what length and head, as scraped, give away.

Version 2, a record with sealed fields: after `mac` comes `"sealed":PACKAGE` (see `encryption`), and M covers all before
it as in version 1. Among that is `sealed_digest`, the SHA-256 of what the package holds, which begins with a random
salt: it fixes the content and tells nothing of it. So a package can be sealed with another key, and its content cannot
be exchanged. In version 1, as it was written until version 2 came, the package stands before `mac`.
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
_V2 = b'{"v":2,'
_SEALED = b',"sealed":'
PACKAGE_MARK = b"\n"
"""Parts what is sealed with the chain from the package, in the body of a record; JSON of orjson holds no line end."""
SEGMENT_PATTERN = "audit-*.jsonl"
MAIN = "0"
"""The chain that lives in the audit folder itself; every other one has a folder of its own below it."""
_CHAIN_PREFIX = "chain-"
_OWN_FIELDS = frozenset({"v", "seq", "ts", "prev", "mac"})


class Parts(NamedTuple):
    """A line (without its end) taken apart: what its seal covers, the seal, and the package beside it."""

    body: bytes
    seal: bytes
    package: bytes = b""


def parts(line: bytes) -> Parts:
    """Take a line apart; one that has not the form of a record has no seal."""
    if not line.startswith(_V2):
        return Parts(line[:-_MAC_LENGTH], line[-_MAC_LENGTH + len(_MAC) : -2])
    # A quotation mark within a string is escaped, so the first of these is the record's own.
    body, _, rest = line.partition(_MAC)
    seal, sealed, package = rest[:64], rest[65 : 65 + len(_SEALED)], rest[65 + len(_SEALED) : -1]
    is_one = rest[64:65] == b'"' and sealed == _SEALED and line.endswith(b"}}")
    return Parts(body, seal, package) if is_one else Parts(line, b"")


def joined(body: bytes, seal: bytes, package: bytes) -> bytes:
    """Return the line (without its end) of a record with a package."""
    return b'%b%b%b"%b%b}' % (body, _MAC, seal, _SEALED, package)


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
            if PACKAGE_MARK in body:
                body, _, package = body.partition(PACKAGE_MARK)
                line = b'{"v":2,"seq":%d,"ts":"%b",%b,"prev":"%b"' % (number, moment, body, head.encode())
                head = self.mac(line)
                lines.append(joined(line, head.encode(), package) + b"\n")
                continue
            line = b'{"v":1,"seq":%d,"ts":"%b",%b,"prev":"%b"' % (number, moment, body, head.encode())
            head = self.mac(line)
            lines.append(b'%b,"mac":"%b"}\n' % (line, head.encode()))
        return lines, Link(number, head)

    def opens(self, line: bytes) -> bool:
        """Whether this key made the seal of a line (without its end of line)."""
        body, seal, package = parts(line)
        if not hmac.compare_digest(self.mac(body).encode(), seal):
            return False
        # What surrounds the seal is not under it, so there is only one way to write it.
        return line == (joined(body, seal, package) if package else b'%b%b%b"}' % (body, _MAC, seal))


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
        fields = read(line)
        return Record(fields["seq"], fields, fields["prev"], fields["mac"])
    except (ValueError, KeyError, TypeError):
        return None


def read(line: bytes) -> dict[str, Any]:
    """Return the fields of a line (without its end) whether its seal holds or not; raises ValueError for no record.

    A package beside the seal becomes the field `sealed` and can set no other.
    """
    body, seal, package = parts(line)
    fields: dict[str, Any] = orjson.loads(body + b"}")
    if not isinstance(fields, dict) or not seal:
        raise ValueError("no record")
    fields["mac"] = seal.decode("ascii", "replace")
    if package:
        fields["sealed"] = orjson.loads(package)
    return fields


def chain_folder(folder: Path, chain: str) -> Path:
    """Return where a chain of this audit folder lives."""
    return folder if chain == MAIN else folder / f"{_CHAIN_PREFIX}{chain}"


def chain_of(folder: Path) -> str:
    """Return the name of the chain that lives in a folder."""
    return folder.name.removeprefix(_CHAIN_PREFIX) if folder.name.startswith(_CHAIN_PREFIX) else MAIN


def chains(folder: Path) -> dict[str, Path]:
    """Return the chains of an audit folder by name, the main one first."""
    others = sorted(path for path in folder.glob(f"{_CHAIN_PREFIX}*") if path.is_dir())
    return {MAIN: folder, **{path.name.removeprefix(_CHAIN_PREFIX): path for path in others}}


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
