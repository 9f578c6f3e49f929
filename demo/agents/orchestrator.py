"""The orchestrator's tools: which workflow runs are under way, and how far each is."""

import time
from collections import OrderedDict
from typing import Literal

from pydantic import BaseModel

from demo.agents.plans import Text

CAPACITY = 1000
"""Runs that are remembered; the oldest is forgotten first."""

Phase = Literal["plan", "implementation"]
STEPS: dict[Phase, tuple[str, ...]] = {
    "plan": ("initial_planning", "plan_validation", "plan_revision", "human_review"),
    "implementation": ("code_implementation", "code_validation", "code_refinement", "final_review"),
}


class Started(BaseModel):
    """A run whose phase has begun, and the steps of it."""

    run_id: str
    phase: Phase
    steps: list[str]


class Status(BaseModel):
    """What is known of a run."""

    run_id: str
    known: bool
    workflow: str = ""
    phase: Phase | None = None
    age_seconds: float = 0.0


class Orchestrator:
    """Tracks runs; both instances share one, as they would share a database."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, tuple[str, Phase, float]] = OrderedDict()

    def start_workflow(self, run_id: Text, workflow: Text, phase: Phase = "plan") -> Started:
        """Note that a phase of a run begins; saying it twice is harmless."""
        _, _, began = self._runs.pop(run_id, ("", phase, time.monotonic()))
        self._runs[run_id] = (workflow, phase, began)
        while len(self._runs) > CAPACITY:
            self._runs.popitem(last=False)
        return Started(run_id=run_id, phase=phase, steps=list(STEPS[phase]))

    def workflow_status(self, run_id: Text) -> Status:
        """Tell how far a run is."""
        if run_id not in self._runs:
            return Status(run_id=run_id, known=False)
        workflow, phase, began = self._runs[run_id]
        age = round(time.monotonic() - began, 3)
        return Status(run_id=run_id, known=True, workflow=workflow, phase=phase, age_seconds=age)
