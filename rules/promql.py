"""What an expression uses and which labels come out of it; pure functions over the parsed tree."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import promql_parser
from promql_parser import (
    AggModifierType,
    AggregateExpr,
    BinaryExpr,
    Call,
    MatrixSelector,
    NumberLiteral,
    ParenExpr,
    SubqueryExpr,
    UnaryExpr,
    VectorSelector,
)

__all__ = [
    "COMPARISONS",
    "AggregateExpr",
    "BinaryExpr",
    "Call",
    "Comparison",
    "Matcher",
    "MatrixSelector",
    "ParenExpr",
    "Use",
    "VectorSelector",
    "comparisons",
    "labels",
    "parse",
    "uses",
    "walk",
]

LONGEST = 10_000
DEEPEST = 200
"""Characters and levels beyond which an expression is refused: the parser recurses for as long as its stack lasts."""
_SIGNS = re.compile(r"(?:[-+]\s*){20}")
COMPARISONS = frozenset({">", "<", ">=", "<=", "==", "!="})
_SET_OPERATORS = frozenset({"and", "or", "unless"})


class Matcher(NamedTuple):
    """One matcher of a selector."""

    label: str
    operator: str
    value: str

    def alternatives(self) -> tuple[str, ...]:
        """Return the plain values that it names, none for a real pattern."""
        values = tuple(self.value.split("|")) if self.operator in ("=~", "!~") else (self.value,)
        return values if all(_is_plain(value) for value in values) else ()


class Use(NamedTuple):
    """One selector in an expression, and what is done with it."""

    metric: str
    matchers: tuple[Matcher, ...]
    range_seconds: float | None
    function: str
    """The function called on it, empty where there is none."""
    inside: tuple[str, ...]
    """Names of functions and aggregations around it, innermost first."""


@dataclass(frozen=True)
class Comparison:
    """A value compared with a number."""

    value: Any
    operator: str
    limit: float


_OPERATORS = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}


def parse(text: str) -> Any:
    """Return the tree of an expression; raises ValueError for what is no PromQL, and for what nobody can read."""
    if len(text) > LONGEST or _SIGNS.search(text):
        raise ValueError(f"longer than {LONGEST} characters, or full of signs")
    tree = promql_parser.parse(text)
    try:
        is_too_deep = any(len(above) > DEEPEST for _, above in walk(tree))
    except RecursionError:
        is_too_deep = True
    if is_too_deep:
        raise ValueError(f"nested deeper than {DEEPEST} levels")
    return tree


def _is_plain(value: str) -> bool:
    return all(character.isalnum() or character in "_-/ " for character in value)


def children(node: Any) -> list[Any]:
    """Return the expressions directly below one."""
    if isinstance(node, BinaryExpr):
        return [node.lhs, node.rhs]
    if isinstance(node, Call):
        return list(node.args)
    if isinstance(node, AggregateExpr):
        return [node.expr, *([node.param] if node.param is not None else [])]
    if isinstance(node, ParenExpr | UnaryExpr | SubqueryExpr):
        return [node.expr]
    return []


def walk(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yield every expression with those around it, innermost first."""
    yield node, above
    for child in children(node):
        yield from walk(child, (node, *above))


def uses(node: Any) -> Iterator[Use]:
    """Yield every selector."""
    for each, above in walk(node):
        if isinstance(each, VectorSelector):
            yield _use(each, None, above)
        elif isinstance(each, MatrixSelector):
            yield _use(each.vector_selector, each.range.total_seconds(), above)


def _use(selector: Any, seconds: float | None, above: tuple[Any, ...]) -> Use:
    matchers = tuple(Matcher(m.name, _OPERATORS[str(m.op)], m.value) for m in selector.matchers.matchers)
    inside = tuple(name for node in above if (name := _name(node)))
    function = next((_name(node) for node in above[:1] if isinstance(node, Call)), "")
    return Use(selector.name or "", matchers, seconds, function, inside)


def _name(node: Any) -> str:
    if isinstance(node, Call):
        return str(node.func.name)
    return str(node.op).lower() if isinstance(node, AggregateExpr) else ""


def comparisons(node: Any) -> Iterator[Comparison]:
    """Yield every value that is compared with a number."""
    for each, _above in walk(node):
        if isinstance(each, BinaryExpr) and str(each.op) in COMPARISONS:
            limit = _number(each.rhs)
            if limit is not None:
                yield Comparison(each.lhs, str(each.op), limit)


def _number(node: Any) -> float | None:
    if isinstance(node, ParenExpr | UnaryExpr):
        inner = _number(node.expr)
        return -inner if inner is not None and isinstance(node, UnaryExpr) else inner
    return float(node.val) if isinstance(node, NumberLiteral) else None


def labels(node: Any, of_metric: Callable[[str], frozenset[str]]) -> frozenset[str]:
    """Return the labels that results of an expression can have; `of_metric` gives those of a metric."""
    for kind, infer in _INFER.items():
        if isinstance(node, kind):
            return infer(node, of_metric)
    return frozenset()


def _of_call(node: Any, of_metric: Callable[[str], frozenset[str]]) -> frozenset[str]:
    name = node.func.name
    if name == "absent":
        [selector] = node.args
        given = selector.matchers.matchers if isinstance(selector, VectorSelector) else ()
        return frozenset(matcher.name for matcher in given if str(matcher.op) == "MatchOp.Equal")
    if name in ("vector", "time", "scalar"):
        return frozenset()
    found = frozenset().union(*(labels(argument, of_metric) for argument in node.args))
    if name in ("label_replace", "label_join"):
        return found | {node.args[1].val}
    return found - {"le"} if name == "histogram_quantile" else found


def _of_aggregation(node: Any, of_metric: Callable[[str], frozenset[str]]) -> frozenset[str]:
    inner = labels(node.expr, of_metric)
    if _name(node) in ("topk", "bottomk", "limitk"):
        return inner
    if node.modifier is None:
        return frozenset()
    named = frozenset(node.modifier.labels)
    return inner & named if node.modifier.type == AggModifierType.By else inner - named


def _of_binary(node: Any, of_metric: Callable[[str], frozenset[str]]) -> frozenset[str]:
    left, right = (labels(side, of_metric) for side in (node.lhs, node.rhs))
    operator = str(node.op).lower()
    if operator == "or":
        return left | right
    if operator in _SET_OPERATORS or operator in COMPARISONS or not right:
        return left
    return left if left else right


_INFER: Mapping[Any, Callable[[Any, Callable[[str], frozenset[str]]], frozenset[str]]] = {
    VectorSelector: lambda node, of_metric: of_metric(node.name or ""),
    MatrixSelector: lambda node, of_metric: of_metric(node.vector_selector.name or ""),
    ParenExpr: lambda node, of_metric: labels(node.expr, of_metric),
    UnaryExpr: lambda node, of_metric: labels(node.expr, of_metric),
    SubqueryExpr: lambda node, of_metric: labels(node.expr, of_metric),
    Call: _of_call,
    AggregateExpr: _of_aggregation,
    BinaryExpr: _of_binary,
}
