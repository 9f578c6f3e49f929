"""What alerts watch and for which limits, read from the policies so that no panel types them again."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import promql_parser

from contract.vocabulary import Severity
from dashboards.conventions import MEANING, UID_PREFIX, Colour
from dashboards.fields import Step
from dashboards.queries import narrowed
from rules import known_metrics, ranges
from rules.conditions import Condition
from rules.pack import Pack

OVERVIEW = f"{UID_PREFIX}overview"
_UPPER = (">", ">=")
_LOWER = ("<", "<=")


class LimitError(ValueError):
    """A dashboard shows what a policy watches, and the policies do not say it."""


@dataclass(frozen=True)
class Limit:
    """What an alert watches, and from where on it is bad."""

    expr: str
    """The alert's own value, without the comparison."""
    value: float
    is_lower_bound: bool
    severity: Severity
    starts_after: bool = False
    """Whether values are whole numbers, and the limit itself is still on the lower side."""

    @property
    def steps(self) -> list[Step]:
        """The bad range wears the colour of the alert's severity.

        Grafana's thresholds include their value: more than 10 whole events starts at 11. What is measured starts at
        the limit: it is hardly ever exactly that, and no reader would see a bit more.
        """
        start = math.floor(self.value) + 1.0 if self.starts_after else self.value
        return [(start, Colour.GOOD if self.is_lower_bound else MEANING[self.severity.value])]

    @property
    def base(self) -> str:
        """Colour below the limit."""
        return MEANING[self.severity.value] if self.is_lower_bound else Colour.GOOD


@dataclass(frozen=True)
class Limits:
    """Limits by policy."""

    pack: Pack

    def of(self, policy: str, *, metric: str = "", matchers: str = "") -> Limit:
        """Return the limit of a policy; one that compares several values is asked by a metric of the wanted one.

        `matchers` narrow a ratio to the series that a reader chose.
        Raises LimitError when there is no such policy, or not exactly one such comparison.
        """
        found = self.pack.get(policy)
        if found is None:
            raise LimitError(f"policy {policy} is gone, but a dashboard shows what it watches; keep it")
        condition = found.terms.condition
        compared = _comparisons(promql_parser.parse(_narrowed(condition, matchers)))
        limits = [each for each in compared if metric in each.expr]
        if len(limits) != 1:
            wanted = metric or "any metric"
            raise LimitError(f"policy {policy} compares {len(limits)} values of {wanted}, but a dashboard shows one")
        [limit] = limits
        starts_after = limit.is_whole and limit.operator in (">", "<=")
        return Limit(limit.expr, limit.value, limit.operator in _LOWER, found.terms.severity, starts_after)

    def find(self, policy: str) -> Limit | None:
        """Return the limit of a policy that a panel can do without; None where it is gone or compares otherwise."""
        try:
            return self.of(policy)
        except LimitError:
            return None

    def waits(self) -> dict[float, list[str]]:
        """Return the alerts whose condition has to be true for a time before they fire, by its seconds."""
        found: dict[float, list[str]] = {}
        for policy in self.pack:
            if policy.terms.for_:
                found.setdefault(policy.terms.for_, []).append(policy.alert)
        return dict(sorted(found.items()))

    def boards(self) -> dict[str, str]:
        """Return the uid of the dashboard that a message about an alert leads to, by alert."""
        return {policy.alert: policy.terms.dashboard.uid for policy in self.pack}

    def filters(self) -> dict[str, list[str]]:
        """Return the alerts whose messages narrow the dashboard they lead to, by the label they do it by."""
        found: dict[str, list[str]] = {}
        for policy in self.pack:
            for label in policy.terms.dashboard.labels:
                found.setdefault(label, []).append(policy.alert)
        return dict(sorted(found.items()))

    def channels(self) -> dict[str, str]:
        """Return who is told, by alert."""
        return {policy.alert: ", ".join(policy.terms.channels) or "nobody" for policy in self.pack}


def _narrowed(condition: Condition, matchers: str) -> str:
    ratio = condition.ratio
    if not matchers:
        return condition.expression()
    if ratio is None:
        raise LimitError("a dashboard narrows what only a ratio can be narrowed to; keep the condition a ratio")
    parts = {name: narrowed(getattr(ratio, name), matchers) for name in ("part", "whole")}
    return ratio.model_copy(update=parts).expression()


class _Comparison(NamedTuple):
    expr: str
    operator: str
    value: float
    is_whole: bool
    """Whether the expression can only be a whole number."""


def _comparisons(expr: Any) -> Iterator[_Comparison]:
    """Yield what is compared and with what; of a value and its guard (`and`), only the value."""
    if isinstance(expr, promql_parser.ParenExpr):
        yield from _comparisons(expr.expr)
    if not isinstance(expr, promql_parser.BinaryExpr):
        return
    operator = str(expr.op).lower()
    if operator in (*_UPPER, *_LOWER) and isinstance(expr.rhs, promql_parser.NumberLiteral):
        is_whole = ranges.of(expr.lhs, known_metrics.ours()).is_whole
        yield _Comparison(str(expr.lhs).replace("{}", ""), operator, expr.rhs.val, is_whole)
    if operator in ("and", "or", "unless"):
        yield from _comparisons(expr.lhs)
    if operator == "or":
        yield from _comparisons(expr.rhs)
