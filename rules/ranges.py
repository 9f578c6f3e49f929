"""What values an expression can have, from what is known of its metrics: no engine, and wide where it is not sure."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from rules import promql
from rules.interval import Interval
from rules.known_metrics import Series

ANY = Interval()
POSITIVE = Interval(0)

_Metrics = Mapping[str, Series]
_ONE = Interval(1, 1, is_whole=True)
_COUNT = Interval(0, is_whole=True)
_SOME = Interval(1, is_whole=True)
_FIXED = MappingProxyType(
    {
        **dict.fromkeys(("absent", "absent_over_time", "present_over_time", "group"), _ONE),
        **dict.fromkeys(("changes", "resets"), _COUNT),
        **dict.fromkeys(("count", "count_over_time", "count_values"), _SOME),
        **dict.fromkeys(("rate", "irate", "increase"), POSITIVE),
        **dict.fromkeys(("time", "timestamp", "stddev", "stdvar", "stddev_over_time", "stdvar_over_time"), POSITIVE),
    }
)
_SAME_SERIES = ("sort", "sort_desc", "label_replace", "label_join", "vector", "scalar", "last_over_time")
_EXTREMES = ("min", "max", "topk", "bottomk", "limitk", "min_over_time", "max_over_time")
_AS_IT_IS = frozenset({*_SAME_SERIES, *_EXTREMES})
_MIXING = frozenset({"avg", "quantile", "avg_over_time", "quantile_over_time"})
_SUMS = frozenset({"sum", "sum_over_time"})
_ROUND: Mapping[str, Callable[[float], float]] = MappingProxyType({"floor": math.floor, "ceil": math.ceil})


def of(node: Any, metrics: _Metrics) -> Interval:
    """Return what the values of an expression lie in."""
    if isinstance(node, promql.NumberLiteral):
        return Interval(node.val, node.val, node.val.is_integer()) if math.isfinite(node.val) else ANY
    if isinstance(node, promql.VectorSelector | promql.MatrixSelector):
        selector = node if isinstance(node, promql.VectorSelector) else node.vector_selector
        known = metrics.get(selector.name or "")
        return known.values_in if known else ANY
    if isinstance(node, promql.UnaryExpr):
        return -of(node.expr, metrics)
    if isinstance(node, promql.ParenExpr | promql.SubqueryExpr):
        return of(node.expr, metrics)
    if isinstance(node, promql.BinaryExpr):
        return _of_operator(node, of(node.lhs, metrics), of(node.rhs, metrics))
    return _of_function(node, metrics)


def _of_function(node: Any, metrics: _Metrics) -> Interval:
    name = promql.name_of(node)
    if name in _FIXED:
        return _FIXED[name]
    if name == "histogram_quantile":
        return _quantile(node, metrics)
    arguments = promql.children(node)
    series = [argument for argument in arguments if promql.kind_of(argument) in ("vector", "matrix")]
    inner = next((of(argument, metrics) for argument in series or arguments), ANY)
    if name in _AS_IT_IS:
        return inner
    if name in _MIXING:
        return replace(inner, is_whole=False)
    if name in _SUMS:
        low, high = (inner.low if inner.low >= 0 else -math.inf), (inner.high if inner.high <= 0 else math.inf)
        return Interval(low, high, inner.is_whole)
    if name in _ROUND and math.isfinite(inner.low):
        high = _ROUND[name](inner.high) if math.isfinite(inner.high) else math.inf
        return Interval(_ROUND[name](inner.low), high, is_whole=True)
    return _clamped(node, inner, name)


def _clamped(node: Any, inner: Interval, name: str) -> Interval:
    bounds = [each.val for each in promql.children(node)[1:] if isinstance(each, promql.NumberLiteral)]
    if name == "clamp_min" and bounds:
        return Interval(max(inner.low, bounds[0]), max(inner.high, bounds[0]))
    if name == "clamp_max" and bounds:
        return Interval(min(inner.low, bounds[0]), min(inner.high, bounds[0]))
    if name == "clamp" and len(bounds) == 2:
        return Interval(bounds[0], bounds[1])
    return POSITIVE if name == "abs" else ANY


def _quantile(node: Any, metrics: _Metrics) -> Interval:
    """Return what a quantile can be: one beyond the top bucket is reported as that bucket."""
    tops = [known.top_bucket for use in promql.uses(node) if (known := metrics.get(use.metric)) and known.top_bucket]
    return Interval(0, tops[0]) if tops else ANY


def _of_operator(node: Any, left: Interval, right: Interval) -> Interval:
    word = str(node.op).lower()
    if word in promql.COMPARISONS:
        if promql.returns_bool(node):
            return Interval(0, 1, is_whole=True)
        return right if promql.kind_of(node.lhs) == "scalar" else left
    if word == "or":
        return left | right
    if word in ("+", "-"):
        return left + right if word == "+" else left + -right
    if word == "*":
        return left * right
    if word == "/" and right.low == right.high > 0:
        return left * Interval(1 / right.low, 1 / right.low)
    if word == "/":
        return POSITIVE if left.low >= 0 and right.low >= 0 else ANY
    return left if word in ("and", "unless") else ANY
