"""The planner's tools: a goal becomes steps, findings become better steps."""

import re
from typing import Annotated

from pydantic import Field

from demo.agents.plans import MAX_STEPS, Finding, Plan, Step, Text

MENDED_AT_ONCE = 2
"""Findings that one revision takes care of; more findings, more revisions."""

VERIFICATION = "verify the result"

_SEPARATOR = re.compile(r"\s*(?:[,;]|\band\b|\bthen\b)\s*", re.IGNORECASE)


def create_plan(goal: Text, knowledge: Annotated[list[Text] | None, Field(max_length=MAX_STEPS)] = None) -> Plan:
    """Build a first plan: one step for each part of the goal, in the order given, each after the one before.

    A first draft is a draft: only its first step says how it is accepted, and nothing verifies the whole.
    """
    requirements = list(dict.fromkeys(part for part in _SEPARATOR.split(goal.strip()) if part))[:MAX_STEPS]
    steps = [
        Step(
            id=f"step-{number}",
            title=requirement,
            depends_on=[f"step-{number - 1}"] if number > 1 else [],
            acceptance=_acceptance(requirement) if number == 1 else "",
        )
        for number, requirement in enumerate(requirements, start=1)
    ]
    return Plan(goal=goal, requirements=requirements, steps=steps, references=knowledge or [])


def revise_plan(plan: Plan, findings: list[Finding], feedback: Text = "") -> Plan:
    """Mend the first findings and add what the reviewer asked for."""
    revised = plan.model_copy(deep=True, update={"revision": plan.revision + 1})
    for finding in findings[:MENDED_AT_ONCE]:
        _mend(revised, finding)
    if feedback:
        # Before the verification, if there is one: what is added gets verified too.
        last = -1 if revised.steps and revised.steps[-1].title == VERIFICATION else len(revised.steps)
        added = Step(id=_free_id(revised), title=feedback, acceptance=_acceptance(feedback))
        revised.requirements.append(feedback)
        revised.steps.insert(last, added)
    return revised


def _mend(plan: Plan, finding: Finding) -> None:
    step = next((step for step in plan.steps if step.id == finding.where), None)
    if finding.rule == "acceptance" and step:
        step.acceptance = _acceptance(step.title)
    elif finding.rule == "dependency" and step:
        earlier = {other.id for other in plan.steps[: plan.steps.index(step)]}
        step.depends_on = [name for name in step.depends_on if name in earlier]
    elif finding.rule == "coverage":
        plan.steps.append(Step(id=_free_id(plan), title=finding.where, acceptance=_acceptance(finding.where)))
    elif finding.rule == "verification":
        everything = [step.id for step in plan.steps]
        acceptance = _acceptance("every step's acceptance")
        plan.steps.append(Step(id=_free_id(plan), title=VERIFICATION, depends_on=everything, acceptance=acceptance))


def _free_id(plan: Plan) -> str:
    taken = {step.id for step in plan.steps}
    return next(name for number in range(1, MAX_STEPS + 2) if (name := f"step-{number}") not in taken)


def _acceptance(requirement: str) -> str:
    return f"shown to work: {requirement}"
