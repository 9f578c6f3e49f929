"""Pinned tool definitions: a canonical hash of every tool, a file of approved hashes, and how far an agent has drifted.

The hash is SHA-256 over the RFC 8785 form of what a model or a person acts on; MCP.md, section 10, has the reasons.
"""

import hashlib
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson

VOLATILE = frozenset({"_meta", "ttlMs", "cacheScope"})
"""Members that may differ from one listing to the next without a change of meaning."""
FORMAT_VERSION = 1
MAX_DEPTH = 100
"""Levels of nesting in a tool's definition; a JSON Schema takes two for each level of the arguments."""
MAX_VALUES = 20_000
"""Values within one tool's definition: hashing more would hold all other probes up."""
MAX_NAME_LENGTH = 128
"""Characters of a name (the protocol's own limit); longer ones are cut."""

Fingerprints = dict[str, str]
"""Hash by tool name."""


class Drift(NamedTuple):
    """How a listing differs from the pinned one: names, sorted."""

    added: list[str]
    removed: list[str]
    changed: list[str]


class Listing:
    """Hashes of a listing that arrives page by page; the definitions themselves are not kept."""

    def __init__(self) -> None:
        self.count = 0
        self._hashes: dict[str, list[str]] = {}

    def add(self, tools: Iterable[Mapping[str, Any]]) -> None:
        """Take tools in. Raises ValueError for one that is too large or too deep to be hashed."""
        for tool in tools:
            made = fingerprint(tool)
            self._hashes.setdefault(str(tool.get("name"))[:MAX_NAME_LENGTH], []).append(made)
            self.count += 1

    def fingerprints(self) -> Fingerprints:
        """Return every tool's hash; of two tools with one name both count, so that a shadowing tool shows."""
        return {name: "+".join(sorted(hashes)) for name, hashes in self._hashes.items()}


def fingerprint(tool: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a tool's canonical definition, in hex. Raises ValueError beyond depth or size."""
    _check_size(tool)
    kept = {name: value for name, value in tool.items() if name not in VOLATILE}
    return hashlib.sha256(canonical(kept)).hexdigest()


def fingerprints(tools: Iterable[Mapping[str, Any]]) -> Fingerprints:
    """Return every tool's hash of a whole listing."""
    listing = Listing()
    listing.add(tools)
    return listing.fingerprints()


def drift(pinned: Mapping[str, str], found: Mapping[str, str]) -> Drift:
    """Compare a listing with the pinned one; a renamed tool counts as removed and added."""
    return Drift(
        added=sorted(found.keys() - pinned.keys()),
        removed=sorted(pinned.keys() - found.keys()),
        changed=sorted(name for name in pinned.keys() & found.keys() if pinned[name] != found[name]),
    )


def _check_size(tool: Mapping[str, Any]) -> None:
    """Walk a definition level by level, which takes no stack. Raises ValueError beyond depth or size."""
    level, count = [tool], 0
    for _ in range(MAX_DEPTH):
        children = (child for value in level for child in _children(value))
        level = list(islice(children, MAX_VALUES + 1 - count))
        count += len(level)
        if count > MAX_VALUES:
            raise ValueError(f"a definition of more than {MAX_VALUES} values")
        if not level:
            return
    raise ValueError(f"a definition nested deeper than {MAX_DEPTH} levels")


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def canonical(value: Any) -> bytes:
    """Write a JSON value in the one form of RFC 8785 (JSON Canonicalization Scheme)."""
    if isinstance(value, dict):
        # Members are ordered by UTF-16 code units, which differs from code points beyond the basic plane.
        names = sorted(value, key=lambda name: str(name).encode("utf-16-be", "surrogatepass"))
        return b"{" + b",".join(canonical(str(name)) + b":" + canonical(value[name]) for name in names) + b"}"
    if isinstance(value, list | tuple):
        return b"[" + b",".join(canonical(item) for item in value) + b"]"
    if isinstance(value, float):
        return _number(value).encode()
    if isinstance(value, int) and not isinstance(value, bool):
        return _number(float(value)).encode()
    return orjson.dumps(value)


def _number(value: float) -> str:
    """Write a number as ECMAScript does (ECMA-262, Number::toString)."""
    if value == 0:
        return "0"
    sign, digits = ("-" if value < 0 else ""), repr(abs(value))
    mantissa, _, exponent = digits.partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    point = len(whole) + int(exponent or 0)
    figures = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len((whole + fraction).lstrip("0"))
    figures = figures.rstrip("0") or "0"
    return sign + _ecma(figures, point)


def _ecma(figures: str, point: int) -> str:
    """Place the decimal point: `figures` are significant digits, 0.figures times 10^point is the value."""
    count = len(figures)
    if count <= point <= 21:
        return figures + "0" * (point - count)
    if 0 < point <= 21:
        return f"{figures[:point]}.{figures[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{figures}"
    power = point - 1
    return f"{figures[0]}{'.' + figures[1:] if count > 1 else ''}e{'+' if power >= 0 else '-'}{abs(power)}"


def read_pins(path: Path) -> dict[str, Fingerprints]:
    """Read approved hashes by agent. Raises ValueError when the file is not what `write_pins` writes."""
    try:
        document = orjson.loads(path.read_bytes())
        if document["version"] != FORMAT_VERSION:
            raise KeyError(f"version {document['version']}")
        return {str(agent): {str(k): str(v) for k, v in tools.items()} for agent, tools in document["agents"].items()}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        message = f"{path} is no file of pinned tools ({error}); write it with `make pin-tools`, or `exporter pin`"
        raise ValueError(message) from None


def pins_text(pins: Mapping[str, Fingerprints]) -> str:
    """Return the file's text: sorted, so that a review shows exactly what changed."""
    document = {"version": FORMAT_VERSION, "agents": pins}
    return orjson.dumps(
        document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    ).decode()
