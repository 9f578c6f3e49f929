"""Which labels the results of an expression can have; pure functions over the parsed tree."""

from collections.abc import Callable, Mapping
from typing import Any

from promql_parser import AggModifierType, LabelModifierType, VectorMatchCardinality

from rules import promql


def of(node: Any, of_metric: Callable[[str], frozenset[str]]) -> frozenset[str]:
    """Return the labels that results of an expression can have; `of_metric` gives those of a metric."""
    for kind, infer in _INFER.items():
        if isinstance(node, kind):
            return infer(node, of_metric)
    return frozenset()


def _of_call(node: Any, of_metric: Callable[[str], frozenset[str]]) -> frozenset[str]:
    name = node.func.name
    if name == "absent":
        [selector] = node.args
        given = selector.matchers.matchers if isinstance(selector, promql.VectorSelector) else ()
        return frozenset(matcher.name for matcher in given if str(matcher.op) == "MatchOp.Equal")
    if name in ("vector", "time", "scalar"):
        return frozenset()
    found = frozenset().union(*(of(argument, of_metric) for argument in node.args))
    if name in ("label_replace", "label_join"):
        return found | {node.args[1].val}
    return found - {"le"} if name == "histogram_quantile" else found


def _of_aggregation(node: Any, of_metric: Callable[[str], frozenset[str]]) -> frozenset[str]:
    inner = of(node.expr, of_metric)
    if promql.name_of(node) in ("topk", "bottomk", "limitk"):
        return inner
    if node.modifier is None:
        return frozenset()
    named = frozenset(node.modifier.labels)
    return inner & named if node.modifier.type == AggModifierType.By else inner - named


def _of_binary(node: Any, of_metric: Callable[[str], frozenset[str]]) -> frozenset[str]:
    left, right = (of(side, of_metric) for side in (node.lhs, node.rhs))
    operator = str(node.op).lower()
    if operator == "or":
        return left | right
    if operator in promql.SET_OPERATORS:
        return left
    matching = node.modifier.matching if node.modifier is not None else None
    if matching is not None:
        return _of_matching(node.modifier, left, right)
    if operator in promql.COMPARISONS or not right:
        return left
    return left if left else right


def _of_matching(modifier: Any, left: frozenset[str], right: frozenset[str]) -> frozenset[str]:
    """Return what is left of labels: the many keep theirs and take some over, one to one keeps what was compared."""
    if modifier.card == VectorMatchCardinality.ManyToOne:
        return left | frozenset(modifier.group_labels or ())
    if modifier.card == VectorMatchCardinality.OneToMany:
        return right | frozenset(modifier.group_labels or ())
    named = frozenset(modifier.matching.labels)
    return left & named if modifier.matching.type == LabelModifierType.Include else left - named


_INFER: Mapping[Any, Callable[[Any, Callable[[str], frozenset[str]]], frozenset[str]]] = {
    promql.VectorSelector: lambda node, of_metric: of_metric(node.name or ""),
    promql.MatrixSelector: lambda node, of_metric: of_metric(node.vector_selector.name or ""),
    promql.ParenExpr: lambda node, of_metric: of(node.expr, of_metric),
    promql.UnaryExpr: lambda node, of_metric: of(node.expr, of_metric),
    promql.SubqueryExpr: lambda node, of_metric: of(node.expr, of_metric),
    promql.Call: _of_call,
    promql.AggregateExpr: _of_aggregation,
    promql.BinaryExpr: _of_binary,
}
