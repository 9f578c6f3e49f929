"""Matchers as Alertmanager reads them: in its classic notation where that fits, else in the one with quoted names.

https://prometheus.io/docs/alerting/latest/configuration/#label-matchers. What both notations can read, both supported
ends of Alertmanager take for the classic one; only the newer one knows the other.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

_SPACE = r"[\t\n\f\r ]*"
_CLASSIC = re.compile(rf"{_SPACE}([a-zA-Z_:][a-zA-Z0-9_:]*){_SPACE}(=~|=|!=|!~){_SPACE}(.*?){_SPACE}", re.DOTALL)
_CLASSIC_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}
_TOKEN = re.compile(
    r"\s*(?:(?P<mark>[{},])|(?P<operator>=~|!~|!=|=)"
    r'|"(?P<quoted>(?:[^"\\\n]|\\.)*)"'
    r"|(?P<bare>[^\s{}!=~,\\\"'`]+))\s*"
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_ESCAPES = {**dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True)), '"': '"', "\\": "\\"}
_LITERAL = re.compile(r"((?<!\\)(?:\\\\)*)\\Q(.*?)\\E", re.DOTALL)


class Matcher(NamedTuple):
    """One condition on a label; a label that an alert lacks is empty."""

    label: str
    operator: str
    value: str

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert with these labels satisfies it."""
        value = labels.get(self.label, "")
        is_equal = fits(self.value, value) if "~" in self.operator else value == self.value
        return is_equal != self.operator.startswith("!")


def fits(pattern: str, text: str) -> bool:
    """Whether a pattern fits all of a text; raises ValueError for what is no pattern."""
    try:
        _compiled(pattern).validate_python(text)
    except ValidationError:
        return False
    return True


@cache
def _compiled(pattern: str) -> SchemaValidator:
    """Compile a pattern with the engine in pydantic, which reads what Go's does, all but quotations."""
    plain = _LITERAL.sub(lambda found: found[1] + re.escape(found[2]), pattern)
    schema = core_schema.str_schema(pattern=f"^(?:{plain})$", regex_engine="rust-regex")
    try:
        return SchemaValidator(schema)
    except SchemaError:
        raise ValueError(f"{pattern!r} is no regular expression of RE2; mend it") from None


def parse(text: object) -> tuple[Matcher, ...]:
    """Return the matchers of one text, which can hold several; raises ValueError."""
    if not isinstance(text, str):
        raise ValueError('no matcher; write label="value"')
    try:
        return tuple(_checked(_classic(part)) for part in _parts(text))
    except ValueError as error:
        try:
            return tuple(_checked(Matcher(*each)) for each in _quoted(text))
        except ValueError:
            raise error from None


def _checked(matcher: Matcher) -> Matcher:
    if "~" in matcher.operator:
        _compiled(matcher.value)
    return matcher


def _parts(text: str) -> list[str]:
    """Split at the commas outside of quotes; a brace at either end is taken off."""
    parts, is_quoted, is_escaped = [""], False, False
    for character in text.removeprefix("{").removesuffix("}"):
        if character == "," and not is_quoted:
            parts.append("")
            continue
        if character == '"':
            is_quoted = is_quoted != (not is_escaped)
        if character != ",":
            is_escaped = character == "\\" and not is_escaped
        parts[-1] += character
    return parts if parts[-1].strip() else parts[:-1]


def _classic(part: str) -> Matcher:
    found = _CLASSIC.fullmatch(part)
    if found is None:
        raise ValueError(f'{part.strip()!r} is no matcher; write label="value"')
    raw = found[3]
    is_quoted = raw.startswith('"')
    inner = raw[1:-1] if is_quoted else raw
    if is_quoted and (len(raw) < 2 or not raw.endswith('"') or _ends_escaped(inner)):
        raise ValueError(f'{part.strip()!r} lacks its closing quote; write label="value"')
    if re.search(r'(?<!\\)(?:\\\\)*"', inner):
        raise ValueError(f'{part.strip()!r} has a quote within its value; write \\" there')
    value = re.sub(r"\\(.)", lambda each: _CLASSIC_ESCAPES.get(each[1], each[0]), inner, flags=re.DOTALL)
    return Matcher(found[1], found[2], value)


def _ends_escaped(text: str) -> bool:
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1


def _quoted(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield label, operator and value of `{"a.b"="c", d=~e}`; raises ValueError."""
    tokens = list(_tokens(text))
    if tokens[:1] == [("mark", "{")] and tokens[-1:] == [("mark", "}")]:
        tokens = tokens[1:-1]
    if tokens and tokens[-1] == ("mark", ","):
        tokens.pop()
    for start in range(0, len(tokens), 4):
        kinds = [kind for kind, _ in tokens[start : start + 4]]
        words = [word for _, word in tokens[start : start + 4]]
        is_text = [kind in ("quoted", "bare") for kind in kinds[:3]]
        if is_text != [True, False, True] or kinds[1] != "operator" or words[3:] not in ([], [","]):
            raise ValueError("no matchers")
        yield words[0], words[1], words[2]


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            raise ValueError("no matchers")
        word = found[found.lastgroup]
        yield found.lastgroup, _ESCAPE.sub(_unescape, word) if found.lastgroup == "quoted" else word
        place = found.end()


def _unescape(found: re.Match[str]) -> str:
    code = found[1] or found[2] or found[3]
    if code is None and found[4] not in _ESCAPES:
        raise ValueError("no escape")
    return chr(int(code, 16)) if code else _ESCAPES[found[4]]
