"""YAML with the line of every key and value, duplicate keys refused and environment variables expanded."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

Location = tuple[str | int, ...]
"""Path to a value: mapping keys and list indices from the top."""

MAX_DEPTH = 50
"""Levels of nesting beyond which a text is refused."""
MAX_VALUES = 200_000
"""Values, aliases expanded, beyond which a text is refused."""

_VARIABLE = re.compile(r"\$\$(?=\{)|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
_BaseLoader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class SourceProblem:
    """Something wrong with the text itself."""

    line: int
    location: Location
    message: str
    mend: str


@dataclass
class Source:
    """A parsed text: its plain value, where each part stands, and what is wrong with it."""

    value: Any = None
    lines: dict[Location, int] = field(default_factory=dict)
    problems: list[SourceProblem] = field(default_factory=list)

    def place(self, location: Location) -> tuple[int, Location]:
        """Return the line and path of the nearest known part; steps that are not in the text are passed over."""
        known: Location = ()
        for step in location:
            if (*known, step) in self.lines:
                known = (*known, step)
        return self.lines.get(known, 1), known


def load(text: str) -> Any:
    """Return the plain value of one YAML (or JSON) document, without expansion, as a foreign file may be read.

    Raises ValueError for what is not YAML or nested deeper than MAX_DEPTH; aliases share what they name.
    """
    try:
        too_deep = _first_line_too_deep(text)
        if too_deep:
            raise ValueError(f"line {too_deep}: nested deeper than {MAX_DEPTH} levels")
        return yaml.load(text, _BaseLoader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


def _first_line_too_deep(text: str) -> int | None:
    """Return the line on which nesting passes MAX_DEPTH; events are flat, so no text can exhaust the stack."""
    depth = 0
    events: Iterator[Any] = yaml.parse(text, Loader=_BaseLoader)
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                mark: Any = event.start_mark
                return int(mark.line) + 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return None


def parse(text: str, environ: Mapping[str, str] | None = os.environ) -> Source:
    """Parse one YAML (or JSON) document; whatever is wrong is in `problems`, nothing is raised.

    Without `environ` every value is the text that stands there, or null: what a file of another program means.
    """
    source = Source()
    try:
        _compose(text, source, environ)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        source.problems.append(
            SourceProblem(line, (), f"not valid YAML: {error.problem}", "check indentation and quotes")
        )
    except yaml.YAMLError as error:
        source.problems.append(SourceProblem(1, (), f"not valid YAML: {error}", "save the file as UTF-8 text"))
    return source


def _compose(text: str, source: Source, environ: Mapping[str, str] | None) -> None:
    """Fill the source; raises YAMLError."""
    too_deep = _first_line_too_deep(text)
    if too_deep:
        message = f"nested deeper than {MAX_DEPTH} levels"
        source.problems.append(SourceProblem(too_deep, (), message, "no configuration needs that"))
        return
    loader = _BaseLoader(text)
    try:
        node = loader.get_single_node()
        if node is not None:
            source.lines[()] = node.start_mark.line + 1
            source.value = _Builder(loader, source, environ).build(node, ())
    finally:
        loader.dispose()


class _Builder:
    """Turns YAML nodes into plain values, noting lines and problems in a Source."""

    def __init__(self, loader: Any, source: Source, environ: Mapping[str, str] | None) -> None:
        self._loader = loader
        self._source = source
        self._environ = environ
        self._open: set[int] = set()
        self._built = 0

    def build(self, node: yaml.Node, location: Location) -> Any:
        self._built += 1
        if self._built > MAX_VALUES:
            if self._built == MAX_VALUES + 1:
                self._problem(node, location, f"more than {MAX_VALUES} values", "aliases multiply; write less")
            return None
        if id(node) in self._open:
            self._problem(node, location, "an anchor contains itself", "remove the alias")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return dict(self._items(node, location))
            if isinstance(node, yaml.SequenceNode):
                return [self._element(child, (*location, index)) for index, child in enumerate(node.value)]
            return self._scalar(node, location)
        finally:
            self._open.discard(id(node))

    def _element(self, node: yaml.Node, location: Location) -> Any:
        self._source.lines[location] = node.start_mark.line + 1
        return self.build(node, location)

    def _items(self, node: yaml.MappingNode, location: Location) -> Iterator[tuple[str, Any]]:
        written = {id(key) for key, _ in node.value}
        seen: dict[str, int] = {}
        self._loader.flatten_mapping(node)
        for key_node, value_node in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if id(key_node) in written:  # a merged key may be overridden
                if key in seen:
                    mend = f"it is already set on line {seen[key]}; keep one"
                    self._problem(key_node, (*location, key), "the key is set twice", mend)
                seen[key] = line
            self._source.lines[(*location, key)] = line
            yield key, self.build(value_node, (*location, key))

    def _scalar(self, node: Any, location: Location) -> Any:
        text = node.value
        if self._environ is None:
            return None if node.tag == "tag:yaml.org,2002:null" else text
        if "${" in text and node.tag == "tag:yaml.org,2002:str":
            environ = self._environ
            text = _VARIABLE.sub(lambda match: self._expand(match, environ, node, location), text)
            if text != node.value and not node.style:
                node = yaml.ScalarNode(
                    self._loader.resolve(yaml.ScalarNode, text, (True, False)), text, node.start_mark
                )
            else:
                return text
        try:
            return self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError):
            self._problem(node, location, f"{text!r} is not a value YAML can read", "put it in quotes")
            return None

    def _expand(self, match: re.Match[str], environ: Mapping[str, str], node: yaml.Node, location: Location) -> str:
        name, default = match["name"], match["default"]
        if name is None:
            return "$"
        value = environ.get(name) or default
        if value is None:
            mend = f"export {name}, or write ${{{name}:-default}}"
            self._problem(node, location, f"environment variable {name} is not set", mend)
            return ""
        return value

    def _problem(self, node: yaml.Node, location: Location, message: str, mend: str) -> None:
        self._source.problems.append(SourceProblem(node.start_mark.line + 1, location, message, mend))
