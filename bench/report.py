"""What a benchmark returns, and the table that shows it."""

from collections.abc import Sequence
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
        return (
            self.what,
            f"{self.value:,.{0 if self.value >= 100 else 2}f} {self.unit}",
            self.peer,
            ratio,
            budget,
            verdict,
        )


def table(measures: Sequence[Measure]) -> str:
    """Return the measures as a table of aligned columns."""
    rows = [("measure", "ours", "peer", "ratio", "budget", ""), *(measure.row() for measure in measures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths).rstrip(), *lines[1:]])
