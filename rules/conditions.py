"""Conditions in the terms people use, each of which writes its own PromQL; raw PromQL is the way out."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from contract.config import Model
from contract.fields import PositiveDuration, format_duration
from rules import slos
from rules.comparison import Comparison, format_number
from rules.selector import Selector

Labels = tuple[str, ...]
Count = Annotated[float, Field(gt=0)]


class Threshold(Comparison):
    """The value of an expression, compared."""

    of: str

    def expression(self) -> str:
        """Return the PromQL that is true while the condition holds."""
        return f"{self.of.strip()} {self.promql()}"


class Counted(Comparison):
    """How often something happened within a window, summed first, then compared; whole events."""

    of: Selector
    over: PositiveDuration
    by: Labels = ()

    def expression(self) -> str:
        """Return the PromQL; floor() takes away what increase() adds by extrapolation, so that 10 is never above 10."""
        return f"floor({_sum('increase', self.of, self.over, self.by)}) {self.promql()}"


class Ratio(Comparison):
    """A part of a whole, both summed over a window; nothing is said below a minimum of events."""

    part: Selector
    whole: Selector
    over: PositiveDuration
    by: Labels = ()
    minimum_events: Count

    def expression(self) -> str:
        """Return the PromQL; a part that has no series counts as none where little is bad."""
        whole = _sum("rate", self.whole, self.over, self.by)
        part = _sum("rate", self.part, self.over, self.by)
        if self.is_lower_bound:
            part = f"({part} or 0 * {whole})"
        return "\n".join(
            (
                f"{part}",
                f"  / {whole} {self.promql()}",
                f"and {_enough(self.whole, self.over, self.by, self.minimum_events)}",
            )
        )


class Quantile(Comparison):
    """A quantile of a histogram over a window; `of` selects its buckets."""

    of: Selector
    quantile: Annotated[float, Field(gt=0, lt=1)]
    over: PositiveDuration
    by: Labels = ()
    minimum_events: Count

    def expression(self) -> str:
        """Return the PromQL."""
        buckets = _sum("rate", self.of, self.over, ("le", *self.by))
        events = self.of.replace("_bucket", "_count", 1)
        return "\n".join(
            (
                f"histogram_quantile({format_number(self.quantile)}, {buckets}) {self.promql()}",
                f"and {_enough(events, self.over, self.by, self.minimum_events)}",
            )
        )


class Absent(Model):
    """No series at all, asked once for each of the named label values: nothing else tells that a thing is missing."""

    of: str
    each: dict[str, tuple[str, ...]] = Field(default={}, max_length=1)

    def expression(self) -> str:
        """Return the PromQL; each part carries the label it asked for."""
        asked = [f'{self.of}{{{label}="{value}"}}' for label, values in self.each.items() for value in values]
        return "\nor ".join(f"absent({selector})" for selector in asked or [self.of])


class Overdue(Model):
    """Too much time since something last happened; `since` is a timestamp in seconds, 0 while it never did."""

    since: str
    after: PositiveDuration

    def expression(self) -> str:
        """Return the PromQL."""
        return f"time() - ({self.since} != 0) > {format_number(self.after)}"


class BurnRate(Model):
    """An error budget that burns too fast, in a long and a short window at once."""

    slo: str
    pace: Literal["fast", "slow"]

    def expression(self) -> str:
        """Return the PromQL over the recorded burn rates."""
        return "\nor ".join(f"({self._pair(pair)})" for pair in slos.PACES[self.pace])

    def _pair(self, pair: slos.Pair) -> str:
        limit = format_number(pair.factor)
        return " and ".join(f'{slos.burn_rate(each)}{{slo="{self.slo}"}} > {limit}' for each in pair[:2])


class Drift(Model):
    """Members of a group that should be alike differ in a label."""

    of: str
    differing: str
    by: Labels = ()

    @pydantic.model_validator(mode="after")
    def _can_differ(self) -> Any:
        if self.differing in self.by:
            raise ValueError(f"members of one {self.differing} cannot differ in it; leave it out of by")
        return self

    def expression(self) -> str:
        """Return the PromQL."""
        kinds = f"count by ({', '.join((*self.by, self.differing))}) ({self.of})"
        return f"count{_by(self.by)} ({kinds}) > 1"


class Raw(Model):
    """PromQL as it stands."""

    expr: str

    def expression(self) -> str:
        """Return the PromQL."""
        return self.expr.strip()


Kind = Threshold | Counted | Ratio | Quantile | Absent | Overdue | BurnRate | Drift | Raw


class Condition(Model):
    """Exactly one kind of condition."""

    threshold: Threshold | None = None
    count: Counted | None = None
    ratio: Ratio | None = None
    quantile: Quantile | None = None
    absent: Absent | None = None
    overdue: Overdue | None = None
    burn_rate: BurnRate | None = None
    drift: Drift | None = None
    raw: Raw | None = None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _raw_text(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and isinstance(value.get("raw"), str):
            return {**value, "raw": {"expr": value["raw"]}}
        return value

    @pydantic.model_validator(mode="after")
    def _is_one(self) -> Any:
        if len([name for name in type(self).model_fields if getattr(self, name)]) != 1:
            raise ValueError(f"a policy has one condition; give one of {', '.join(type(self).model_fields)}")
        return self

    @property
    def name(self) -> str:
        """Which kind it is."""
        return next(name for name in type(self).model_fields if getattr(self, name))

    @property
    def kind(self) -> Kind:
        """The condition itself."""
        kind: Kind = getattr(self, self.name)
        return kind

    def expression(self) -> str:
        """Return the PromQL that is true while the condition holds."""
        return self.kind.expression()


def _by(labels: Labels) -> str:
    return f" by ({', '.join(labels)})" if labels else ""


def _sum(function: str, selector: str, seconds: float, labels: Labels) -> str:
    spaced = " " if labels else ""
    return f"sum{_by(labels)}{spaced}({function}({selector}[{format_duration(seconds)}]))"


def _enough(selector: str, seconds: float, labels: Labels, minimum: float) -> str:
    return f"{_sum('increase', selector, seconds, labels)} >= {format_number(minimum)}"
