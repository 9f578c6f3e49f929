"""Intervals of numbers: what a value can be, and what is left of that after arithmetic."""

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

HOLDS: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {
        ">": operator.gt,
        ">=": operator.ge,
        "<": operator.lt,
        "<=": operator.le,
        "==": operator.eq,
        "!=": operator.ne,
    }
)
OPPOSITE = MappingProxyType({">": "<=", ">=": "<", "<": ">=", "<=": ">", "==": "!=", "!=": "=="})


@dataclass(frozen=True)
class Interval:
    """Everything from `low` to `high`, both included; with `is_whole` only the whole numbers in it."""

    low: float = -math.inf
    high: float = math.inf
    is_whole: bool = False

    def candidates(self, limits: tuple[float, ...]) -> list[float]:
        """Return one value of every part into which limits cut the interval."""
        step: Callable[[float, float], float] = _next_whole if self.is_whole else math.nextafter
        near = [each for limit in limits for each in (limit, step(limit, -math.inf), step(limit, math.inf))]
        return [each for each in (self.low, self.high, *near) if self._holds(each)]

    def can_be(self, word: str, limit: float) -> bool:
        """Whether any value compares so with the limit."""
        return any(HOLDS[word](each, limit) for each in self.candidates((limit,)))

    def must_be(self, word: str, limit: float) -> bool:
        """Whether every value compares so with the limit."""
        return all(HOLDS[word](each, limit) for each in self.candidates((limit,)))

    def _holds(self, value: float) -> bool:
        return self.low <= value <= self.high and (not self.is_whole or math.isinf(value) or value == math.floor(value))

    def __neg__(self) -> "Interval":
        return replace(self, low=-self.high, high=-self.low)

    def __add__(self, other: "Interval") -> "Interval":
        return Interval(self.low + other.low, self.high + other.high, self.is_whole and other.is_whole)

    def __mul__(self, other: "Interval") -> "Interval":
        corners = [_product(a, b) for a in (self.low, self.high) for b in (other.low, other.high)]
        return Interval(min(corners), max(corners), self.is_whole and other.is_whole)

    def __or__(self, other: "Interval") -> "Interval":
        return Interval(min(self.low, other.low), max(self.high, other.high), self.is_whole and other.is_whole)


def _next_whole(value: float, towards: float) -> float:
    if not math.isfinite(value):
        return value
    return math.floor(value) + 1.0 if towards > value else math.ceil(value) - 1.0


def _product(left: float, right: float) -> float:
    return 0.0 if 0.0 in (left, right) else left * right
