"""The simulated person: takes a while, mostly approves, sometimes wants a change, seldom rejects."""

import asyncio
from collections.abc import Mapping
from enum import StrEnum

from contract.vocabulary import HumanKind
from demo.engine.goals import CHANGED_EVERY, REJECTED_EVERY
from demo.engine.statistics import Statistics

DEADLINE_SECONDS: Mapping[HumanKind, float] = {
    HumanKind.APPROVAL: 3600.0,
    HumanKind.FEEDBACK: 1800.0,
    HumanKind.CLARIFICATION: 900.0,
}
"""How long a run waits for a person, before the demo's time scale."""

GOLDEN = 0.618034
"""Multiples of it modulo 1 spread evenly: varied, and the same in every run of the demo."""


class Decision(StrEnum):
    """What a reviewer says to a plan or to code."""

    APPROVE = "approve"
    CHANGE = "change"
    REJECT = "reject"


class Reviewer:
    """Answers after a share of the deadline, between half and one and a half times `share`; above 1 is too late."""

    def __init__(self, statistics: Statistics, time_scale: float, share: float = 0.12) -> None:
        self._statistics = statistics
        self._time_scale = time_scale
        self._share = share

    async def review_plan(self, number: int, review: int) -> Decision:
        """Decide on a plan; `review` counts the reviews of this run. Raises TimeoutError at the deadline."""
        await self._answer(HumanKind.APPROVAL, number)
        return Decision.CHANGE if number % CHANGED_EVERY == 0 and review == 1 else Decision.APPROVE

    async def review_code(self, number: int) -> Decision:
        """Decide on code. Raises TimeoutError at the deadline."""
        await self._answer(HumanKind.APPROVAL, number + 1)
        return Decision.REJECT if number % REJECTED_EVERY == 0 else Decision.APPROVE

    async def feedback(self, number: int) -> str:
        """Say what a plan lacks. Raises TimeoutError at the deadline."""
        await self._answer(HumanKind.FEEDBACK, number)
        return "mask personal data"

    async def clarification(self, number: int) -> str:
        """Say what a vague goal means. Raises TimeoutError at the deadline."""
        await self._answer(HumanKind.CLARIFICATION, number)
        return "for the last seven days"

    async def _answer(self, kind: HumanKind, number: int) -> None:
        deadline = DEADLINE_SECONDS[kind] / self._time_scale
        with self._statistics.waiting_for(kind):
            async with asyncio.timeout(deadline):
                await asyncio.sleep(deadline * self._share * (0.5 + number * GOLDEN % 1))
