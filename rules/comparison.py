"""What a condition compares its value with: numbers and percentages, in the words people use."""

import math
import re
from typing import Annotated, Any

import pydantic
from pydantic import BeforeValidator

from contract.config import Model

_NUMBER = re.compile(r"-?\d+(\.\d+)?")
OPERATORS = {"above": ">", "at_least": ">=", "below": "<", "at_most": "<=", "equal_to": "==", "other_than": "!="}


def parse_number(value: object) -> float:
    """Return a number as a fraction of one: 5, 0.25 and "5%" (0.05); raises ValueError for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if isinstance(value, str) and value.endswith("%") and _NUMBER.fullmatch(value[:-1].strip()):
        return float(f"{float(value[:-1]) / 100:.12g}")
    raise ValueError(f"{value!r} is not a number; write 5, 0.25 or 5%")


def format_number(number: float) -> str:
    """Write a number as short as PromQL reads it back: 5.0 is "5"."""
    return f"{number:.12g}"


Number = Annotated[float, BeforeValidator(parse_number)]
"""A number, or a percentage as a fraction of one."""


class Comparison(Model):
    """Exactly one of six comparisons."""

    above: Number | None = None
    at_least: Number | None = None
    below: Number | None = None
    at_most: Number | None = None
    equal_to: Number | None = None
    other_than: Number | None = None

    @pydantic.model_validator(mode="after")
    def _is_one(self) -> Any:
        if len(self._given()) != 1:
            raise ValueError(f"compare exactly once; give one of {', '.join(OPERATORS)}")
        return self

    def _given(self) -> list[str]:
        return [word for word in OPERATORS if getattr(self, word) is not None]

    @property
    def word(self) -> str:
        """How it compares, as written in the policy."""
        return self._given()[0]

    @property
    def limit(self) -> float:
        """What it compares with."""
        return float(getattr(self, self.word))

    @property
    def is_lower_bound(self) -> bool:
        """Whether values under the limit are the bad ones."""
        return self.word in ("below", "at_most")

    def promql(self) -> str:
        """Return the right-hand side of the expression: "> 0.05"."""
        return f"{OPERATORS[self.word]} {format_number(self.limit)}"
