"""The statistics document of a workflow engine, version 1: parsed into types that cannot be wrong."""

from collections import Counter
from typing import Annotated, Any, Literal

import orjson
import pydantic
from pydantic import AfterValidator, Field, StringConstraints, model_validator

from contract.vocabulary import HumanKind, RunOutcome
from exporter import label_values

MAX_WORKFLOWS = 500
MAX_PARTS = 64
"""Steps or phases of one workflow, buckets of one histogram."""
MAX_PROBLEM_LENGTH = 500

Amount = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False, strict=True)]
"""A count, or seconds; bounded so that sums of them stay exact and finite."""
Label = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$"),
    AfterValidator(label_values.checked),
]


def _check_bounds(buckets: dict[str, float]) -> dict[str, float]:
    for bound in buckets:
        try:
            is_finite = abs(float(bound)) != float("inf") and float(bound) == float(bound)
        except ValueError:
            is_finite = False
        if not is_finite:
            raise ValueError(f"bucket bound {bound!r} is not a number")
    if len({float(bound) for bound in buckets}) < len(buckets):
        raise ValueError("two buckets have the same bound")
    return buckets


class _Part(pydantic.BaseModel):
    """Part of the document: keys we do not know belong to later versions or to others."""

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore")


class Distribution(_Part):
    """A histogram: cumulative counts by upper bound, as Prometheus has them, without +Inf."""

    sum: Amount = 0
    count: Amount = 0
    buckets: Annotated[dict[str, Amount], Field(max_length=MAX_PARTS), AfterValidator(_check_bounds)] = {}

    @model_validator(mode="after")
    def _check_cumulative(self) -> "Distribution":
        held = [count for _, count in sorted(self.by_bound.items())] + [self.count]
        if held != sorted(held):
            raise ValueError("bucket counts must be cumulative and not exceed count")
        return self

    @property
    def by_bound(self) -> dict[float, float]:
        """Counts by bound as a number."""
        return {float(bound): held for bound, held in self.buckets.items()}


class Queue(_Part):
    """Runs that wait to start."""

    depth: Amount = 0
    oldest_seconds: Amount = 0


class Step(_Part):
    """One step of a workflow."""

    failed: Amount = 0
    duration_seconds: Distribution = Distribution()


class Waiting(_Part):
    """Runs that wait for a person."""

    pending: Amount = 0
    oldest_seconds: Amount = 0


class Workflow(_Part):
    """Everything an engine tells of one workflow; counts are since the engine started."""

    name: Label
    runs: dict[RunOutcome, Amount] = {}
    in_progress: Annotated[dict[Label, Amount], Field(max_length=MAX_PARTS)] = {}
    queue: Queue = Queue()
    duration_seconds: Distribution = Distribution()
    steps: Annotated[dict[Label, Step], Field(max_length=MAX_PARTS)] = {}
    iterations: Distribution = Distribution()
    human: dict[HumanKind, Waiting] = {}
    last_success_timestamp: Amount | None = None


class Statistics(_Part):
    """The document."""

    version: Literal[1]
    workflows: Annotated[list[Workflow], Field(max_length=MAX_WORKFLOWS)]

    @model_validator(mode="after")
    def _check_names(self) -> "Statistics":
        names = Counter(workflow.name for workflow in self.workflows)
        if doubles := [name for name, count in names.items() if count > 1]:
            raise ValueError(f"workflows named twice: {', '.join(sorted(doubles))}")
        return self


def read(text: bytes | str) -> Statistics:
    """Parse a document. Raises ValueError that says what is wrong and where."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    return read_value(value)


def read_value(value: Any) -> Statistics:
    """Check a document that is already parsed. Raises ValueError that says what is wrong and where."""
    try:
        return Statistics.model_validate(value)
    except pydantic.ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        told = "; ".join(f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in details[:3])
        raise ValueError(f"not a statistics document: {told}"[:MAX_PROBLEM_LENGTH]) from None
