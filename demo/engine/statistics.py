"""What the runs of one workflow came to: the statistics document, version 1."""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

from contract.metric import ITERATION_BUCKETS, WORKFLOW_BUCKETS
from contract.vocabulary import HumanKind, RunOutcome

STEPS = (
    "initial_planning",
    "plan_validation",
    "plan_revision",
    "human_review",
    "code_implementation",
    "code_validation",
    "code_refinement",
    "final_review",
)
PHASES = ("plan", "implementation")
STEP_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0)
"""Seconds; calls take parts of a second, people up to an hour."""


class Histogram:
    """Counts values up to each bound; what lies above the last one is in the count alone."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def document(self) -> dict[str, Any]:
        """Return sum, count and cumulative buckets."""
        *cumulative, count = accumulate(self._counts)
        buckets = {f"{bound:g}": number for bound, number in zip(self._bounds, cumulative, strict=True)}
        return {"sum": round(self._sum, 3), "count": count, "buckets": buckets}


class Statistics:
    """Counts since the start of the engine, and what is under way now; memory does not grow with the runs."""

    def __init__(self, workflow: str) -> None:
        self._workflow = workflow
        self._runs: Counter[RunOutcome] = Counter()
        self._phases: Counter[str] = Counter()
        self._durations = Histogram(WORKFLOW_BUCKETS)
        self._iterations = Histogram(ITERATION_BUCKETS)
        self._steps = {step: Histogram(STEP_BUCKETS) for step in STEPS}
        self._failures: Counter[str] = Counter()
        self._waits: dict[HumanKind, dict[object, float]] = {kind: {} for kind in HumanKind}
        self._last_success: float | None = None
        self.queued_since: list[float] = []
        """When each waiting run was queued, on the monotonic clock, oldest first."""

    def run_ended(self, outcome: RunOutcome, seconds: float, iterations: int) -> None:
        """Count a run."""
        self._runs[outcome] += 1
        self._durations.observe(seconds)
        self._iterations.observe(iterations)
        if outcome is RunOutcome.COMPLETED:
            self._last_success = time.time()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count a run as being in a phase."""
        self._phases[name] += 1
        try:
            yield
        finally:
            self._phases[name] -= 1

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step; an exception in it is a failure of the step."""
        began = time.monotonic()
        try:
            yield
        except Exception:
            self._failures[name] += 1
            raise
        finally:
            self._steps[name].observe(time.monotonic() - began)

    @contextmanager
    def waiting_for(self, kind: HumanKind) -> Iterator[None]:
        """Count a run as waiting for a person."""
        token = object()
        self._waits[kind][token] = time.monotonic()
        try:
            yield
        finally:
            del self._waits[kind][token]

    def document(self) -> dict[str, Any]:
        """Return the statistics document, version 1."""
        return {"version": 1, "workflows": [self._document()]}

    def _document(self) -> dict[str, Any]:
        now = time.monotonic()
        document = {
            "name": self._workflow,
            "runs": {outcome.value: self._runs[outcome] for outcome in RunOutcome},
            "in_progress": {phase: self._phases[phase] for phase in PHASES},
            "queue": {"depth": len(self.queued_since), "oldest_seconds": _age(self.queued_since, now)},
            "duration_seconds": self._durations.document(),
            "steps": {
                step: {"failed": self._failures[step], "duration_seconds": histogram.document()}
                for step, histogram in self._steps.items()
            },
            "iterations": self._iterations.document(),
            "human": {
                kind.value: {"pending": len(waits), "oldest_seconds": _age(list(waits.values()), now)}
                for kind, waits in self._waits.items()
            },
        }
        # Left out until there was one: no time is no time, not 1970.
        return document | ({"last_success_timestamp": self._last_success} if self._last_success else {})


def _age(since: Sequence[float], now: float) -> float:
    return round(now - since[0], 3) if since else 0.0
