"""What stands in an expression; pure functions over the parsed tree."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import promql_parser
from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    MatrixSelector,
    NumberLiteral,
    ParenExpr,
    StringLiteral,
    SubqueryExpr,
    UnaryExpr,
    VectorSelector,
)

__all__ = [
    "ANYTHING",
    "COMPARISONS",
    "SET_OPERATORS",
    "AggregateExpr",
    "BinaryExpr",
    "Call",
    "Comparison",
    "Matcher",
    "MatrixSelector",
    "NumberLiteral",
    "ParenExpr",
    "SubqueryExpr",
    "UnaryExpr",
    "Use",
    "VectorSelector",
    "children",
    "comparison",
    "comparisons",
    "filters",
    "kind_of",
    "name_of",
    "parse",
    "returns_bool",
    "uses",
    "walk",
]

ANYTHING = ("", "a", "0", "x-1.y_z/2 ü:")
"""Stands for every value of a label of which none is known."""
LONGEST = 10_000
DEEPEST = 200
"""Characters and levels beyond which an expression is refused: the parser recurses for as long as its stack lasts."""
_SIGNS = re.compile(r"(?:[-+]\s*){20}")
COMPARISONS = frozenset({">", "<", ">=", "<=", "==", "!="})
_MIRRORED = {">": "<", "<": ">", ">=": "<=", "<=": ">="}
SET_OPERATORS = frozenset({"and", "or", "unless"})


class Matcher(NamedTuple):
    """One matcher of a selector."""

    label: str
    operator: str
    value: str

    def alternatives(self) -> tuple[str, ...]:
        """Return the plain values that it names, none for a real pattern."""
        values = tuple(self.value.split("|")) if self.operator in ("=~", "!~") else (self.value,)
        return values if all(_is_plain(value) for value in values) else ()

    def holds(self, value: str) -> bool:
        """Whether a label of that value satisfies it; a pattern that only Prometheus can read does."""
        try:
            is_equal = bool(re.fullmatch(self.value, value, re.DOTALL)) if "~" in self.operator else value == self.value
        except re.error:
            return True
        return is_equal != self.operator.startswith("!")

    def __str__(self) -> str:
        return f'{self.label}{self.operator}"{self.value}"'


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
    inside = tuple(name for node in above if (name := name_of(node)))
    function = next((name_of(node) for node in above[:1] if isinstance(node, Call)), "")
    return Use(selector.name or "", matchers, seconds, function, inside)


def name_of(node: Any) -> str:
    """Return the name of a function or aggregation, empty for all else."""
    if isinstance(node, Call):
        return str(node.func.name)
    return str(node.op).lower() if isinstance(node, AggregateExpr) else ""


def kind_of(node: Any) -> str:
    """Return what an expression gives: a vector, a scalar, a matrix or a string."""
    if isinstance(node, ParenExpr | UnaryExpr):
        return kind_of(node.expr)
    if isinstance(node, NumberLiteral):
        return "scalar"
    if isinstance(node, Call):
        return str(node.func.return_type).rpartition(".")[2].lower()
    if isinstance(node, BinaryExpr):
        return "scalar" if kind_of(node.lhs) == kind_of(node.rhs) == "scalar" else "vector"
    if isinstance(node, StringLiteral):
        return "string"
    return "matrix" if isinstance(node, MatrixSelector | SubqueryExpr) else "vector"


def returns_bool(node: Any) -> bool:
    """Whether a comparison gives 0 or 1 instead of leaving out what it does not hold for."""
    return node.modifier is not None and node.modifier.return_bool


def filters(node: Any) -> bool:
    """Whether an expression leaves something out, so that it can be silent while its metrics are there."""
    if isinstance(node, BinaryExpr):
        word = str(node.op).lower()
        if word == "or":
            return filters(node.lhs) and filters(node.rhs)
        if word == "unless" or (word in COMPARISONS and not returns_bool(node)):
            return True
    return name_of(node) in ("absent", "absent_over_time") or any(filters(child) for child in children(node))


def comparisons(node: Any) -> Iterator[Comparison]:
    """Yield every value that is compared with a number."""
    return (found for each, _above in walk(node) if (found := comparison(each)))


def comparison(node: Any) -> Comparison | None:
    """Return the value that an expression compares with a number, the number on the right; None for all else."""
    if isinstance(node, BinaryExpr) and (operator := str(node.op)) in COMPARISONS:
        left, right = _number(node.lhs), _number(node.rhs)
        if right is not None:
            return Comparison(node.lhs, operator, right)
        if left is not None:
            return Comparison(node.rhs, _MIRRORED.get(operator, operator), left)
    return None


def _number(node: Any) -> float | None:
    if isinstance(node, ParenExpr | UnaryExpr):
        inner = _number(node.expr)
        return -inner if inner is not None and isinstance(node, UnaryExpr) else inner
    return float(node.val) if isinstance(node, NumberLiteral) else None
