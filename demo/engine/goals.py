"""What the runs are about. Everything follows from a run's number, so that every demo shows the same shares."""

from typing import NamedTuple

PARTS = (
    "collect the order events",
    "remove duplicates",
    "group orders by customer",
    "compute the weekly revenue",
    "flag unusual refunds",
    "write a summary table",
    "store the table in the warehouse",
    "notify the finance team",
    "archive the raw events",
    "compare with last year",
    "draw a chart",
    "publish the report",
)
USUAL_PARTS = (2, 3, 1, 4, 2, 3, 5, 2)

HOPELESS_EVERY = 50
"""One run in so many has a goal with more parts than five iterations can get right: max_iterations."""
REJECTED_EVERY = 40
"""One run in so many is rejected at its final review."""
VAGUE_EVERY = 7
"""One run in so many needs a clarification before it can be planned."""
CHANGED_EVERY = 6
"""One run in so many is sent back at its first review, with feedback."""


class Goal(NamedTuple):
    """What a run is asked for."""

    text: str
    is_vague: bool


def goal(number: int) -> Goal:
    """Return the goal of a run; runs are counted from 1."""
    is_hopeless = number % HOPELESS_EVERY == HOPELESS_EVERY // 2
    count = len(PARTS) if is_hopeless else USUAL_PARTS[number % len(USUAL_PARTS)]
    start = number * 5 % len(PARTS)
    return Goal(", ".join((PARTS + PARTS)[start : start + count]), number % VAGUE_EVERY == 0)
