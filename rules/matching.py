"""Which series of two sides of an operator meet: by all labels, by some (`on`), or by all but some (`ignoring`)."""

from collections.abc import Callable
from typing import Any

from promql_parser import LabelModifierType

from rules import labels, promql


def joins(node: Any) -> bool:
    """Whether an expression is an operator between two vectors, each series of which looks for its like."""
    sides = isinstance(node, promql.BinaryExpr) and (promql.kind_of(node.lhs), promql.kind_of(node.rhs))
    return sides == ("vector", "vector")


def is_plain(node: Any) -> bool:
    """Whether series meet that agree in all labels."""
    return node.modifier is None or node.modifier.matching is None


def compared(node: Any, present: frozenset[str]) -> frozenset[str]:
    """Return those labels in which two series must agree to meet, of all that either side has."""
    if is_plain(node):
        return present
    named = frozenset(node.modifier.matching.labels)
    return named if node.modifier.matching.type == LabelModifierType.Include else present - named


def pinned(node: Any, of_metric: Callable[[str], frozenset[str]]) -> dict[str, str]:
    """Return the labels of which every series of an expression has one and the same value; "" is a label it lacks."""
    if isinstance(node, promql.VectorSelector | promql.MatrixSelector):
        [use] = promql.uses(node)
        return {matcher.label: matcher.value for matcher in use.matchers if matcher.operator == "="}
    has = labels.of(node, of_metric)
    if isinstance(node, promql.BinaryExpr) and str(node.op).lower() == "or":
        left, right = pinned(node.lhs, of_metric), pinned(node.rhs, of_metric)
        return {label: value for label, value in left.items() if right.get(label) == value}
    if promql.name_of(node) in ("label_replace", "label_join"):
        return {}
    below = [each for each in promql.children(node) if promql.kind_of(each) in ("vector", "matrix")]
    return {label: value for label, value in pinned(below[0], of_metric).items() if label in has} if below else {}
