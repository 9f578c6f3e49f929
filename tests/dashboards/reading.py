"""Reads dashboards as Grafana does: panels, queries with their variables filled in, and what the queries ask for."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser

GENERATED = Path(__file__).parents[2] / "dashboards" / "generated"
NAMES = sorted(path.stem for path in GENERATED.glob("*.json"))
DURATIONS = {"__rate_interval": "1m", "__range": "1h", "__interval": "15s"}

Json = dict[str, Any]


class Target(NamedTuple):
    """One query of one panel."""

    board: str
    panel: Json
    target: Json

    @property
    def where(self) -> str:
        """Name it in a message."""
        return f"{self.board}: {self.panel['title']}: {self.target['refId']}"


def board(name: str) -> Json:
    """Return a committed dashboard."""
    read: Json = json.loads((GENERATED / f"{name}.json").read_text(encoding="utf-8"))
    return read


def panels(name: str) -> list[Json]:
    """Return the panels of a dashboard, rows left out."""
    return [panel for panel in board(name)["panels"] if panel["type"] != "row"]


def targets(name: str) -> Iterator[Target]:
    """Yield every query of a dashboard."""
    for panel in panels(name):
        for target in panel["targets"]:
            yield Target(name, panel, target)


def filled(expr: str, durations: Mapping[str, str] = DURATIONS) -> str:
    """Return the query with every variable set to All and the durations given."""
    for name, value in durations.items():
        expr = expr.replace(f"${name}", value)
    return re.sub(r"\$[a-z_]+\b", ".*", expr)


class Selector(NamedTuple):
    """A metric that a query asks for, with its matchers."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]
    function: str
    """Function around its range; empty for an instant selector."""
    range_seconds: float


class Grouping(NamedTuple):
    """Labels that an aggregation keeps, of these metrics or made by label_replace and label_join."""

    labels: tuple[str, ...]
    metrics: frozenset[str]
    made: frozenset[str]


def selectors(expr: str) -> list[Selector]:
    """Return every selector of a query."""
    return list(_selectors(promql_parser.parse(filled(expr)), ""))


def groupings(expr: str) -> list[Grouping]:
    """Return every aggregation by labels of a query."""
    return list(_groupings(promql_parser.parse(filled(expr))))


def _children(node: Any) -> list[Any]:
    if isinstance(node, promql_parser.Call):
        return list(node.args)
    found = [getattr(node, name, None) for name in ("lhs", "rhs", "expr", "param")]
    return [child for child in found if child is not None]


def _selectors(node: Any, function: str) -> Iterator[Selector]:
    if isinstance(node, promql_parser.MatrixSelector):
        yield _selector(node.vector_selector, function, node.range.total_seconds())
    elif isinstance(node, promql_parser.VectorSelector):
        yield _selector(node, "", 0.0)
    function = node.func.name if isinstance(node, promql_parser.Call) else ""
    for child in _children(node):
        yield from _selectors(child, function)


def _selector(node: Any, function: str, seconds: float) -> Selector:
    matchers = tuple((each.name, str(each.op), each.value) for each in node.matchers.matchers)
    return Selector(node.name, matchers, function, seconds)


def _groupings(node: Any) -> Iterator[Grouping]:
    if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
        assert node.modifier.type == promql_parser.AggModifierType.By, "aggregate by, so that new labels change nothing"
        metrics = frozenset(each.metric for each in _selectors(node.expr, ""))
        yield Grouping(tuple(node.modifier.labels), metrics, frozenset(_made(node.expr)))
    for child in _children(node):
        yield from _groupings(child)


def _made(node: Any) -> Iterator[str]:
    if isinstance(node, promql_parser.Call) and node.func.name in ("label_replace", "label_join"):
        yield node.args[1].val
    for child in _children(node):
        yield from _made(child)
