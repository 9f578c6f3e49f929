"""JSON as a security boundary reads it: duplicate keys, NaN, deep nesting and broken text are errors, never guesses."""

import json
from typing import Any


def parse(text: bytes | str) -> Any:
    """Return the value of one JSON document; raises ValueError for anything that two parsers could read differently."""
    if isinstance(text, bytes):
        text = text.decode("utf-8")  # UnicodeDecodeError is a ValueError
    text = text.strip(_BLANKS)
    try:
        value, end = _DECODER.raw_decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if end != len(text):
        raise ValueError("more than one document")
    return value


def parse_object(text: bytes | str) -> dict[str, Any]:
    """Return the object that a document holds; raises ValueError when it is anything else."""
    value = parse(text)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate key")
    return value


def _constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_BLANKS = " \t\n\r"
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
