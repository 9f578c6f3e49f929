"""What a benchmark returns, and the table that shows it."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple


class Measure(NamedTuple):
    """One measured value, beside a peer's where there is one and its budget where the design has one."""

    what: str
    value: float
    unit: str
    peer: str = ""
    """The peer and its value, in words."""
    ratio: float | None = None
    """Ours to the peer's; where a budget is a ratio, it is this that must meet it."""
    at_least: float | None = None
    at_most: float | None = None
    spread: tuple[float, float] | None = None
    """Least and greatest of the turns, of the ratio where there is one, else of the value."""

    @property
    def is_met(self) -> bool | None:
        """Whether the budget is met; None without one."""
        judged = self.value if self.ratio is None else self.ratio
        if self.at_least is not None:
            return judged >= self.at_least
        return None if self.at_most is None else judged <= self.at_most

    def row(self) -> tuple[str, ...]:
        """Return the cells of the measure's row."""
        times = "x" if self.ratio is not None else ""
        budget = "" if self.at_least is None else f">= {self.at_least:,g}{times}"
        budget = budget or ("" if self.at_most is None else f"<= {self.at_most:,g}{times}")
        verdict = {None: "", True: "met", False: "MISSED"}[self.is_met]
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}x"
        spread = "" if self.spread is None else " - ".join(_number(end) for end in self.spread)
        return (self.what, f"{_number(self.value)} {self.unit}", self.peer, ratio, spread, budget, verdict)


def measured(what: str, values: Sequence[float], unit: str, peers: Mapping[str, Sequence[float]]) -> Measure:
    """Return the median of several turns with their spread, beside the medians of peers."""
    words = ", ".join(f"{name} {_number(median(theirs))}" for name, theirs in peers.items())
    return Measure(what, median(values), unit, words, spread=(min(values), max(values)))


def compared(what: str, values: Sequence[float], unit: str, peer: str, theirs: Sequence[float]) -> Measure:
    """Return the medians of turns taken side by side, and the ratio that most rounds agree on.

    A ratio is taken within each round, so that what disturbs a whole round disturbs both sides of it.
    """
    ratios = [ours / their for ours, their in zip(values, theirs, strict=True)]
    words = f"{peer} {_number(median(theirs))}"
    return Measure(what, median(values), unit, words, median(ratios), spread=(min(ratios), max(ratios)))


def table(measures: Sequence[Measure]) -> str:
    """Return the measures as a table of aligned columns."""
    rows = [("measure", "ours", "peer", "ratio", "spread", "budget", ""), *(measure.row() for measure in measures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths).rstrip(), *lines[1:]])


def _number(value: float) -> str:
    return f"{value:,.{0 if value >= 100 else 2}f}"
