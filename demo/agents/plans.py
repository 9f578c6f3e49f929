"""What the agents hand to each other: plans, code, findings and verdicts."""

from typing import Annotated

from pydantic import BaseModel, Field

Text = Annotated[str, Field(max_length=2000)]
MAX_STEPS = 40


class Step(BaseModel):
    """One thing to do; it starts when the steps it depends on are done."""

    id: Text
    title: Text
    depends_on: list[Text] = Field(default_factory=list, max_length=MAX_STEPS)
    acceptance: Text = ""
    """How to see that it is done; empty as long as nobody said."""


class Plan(BaseModel):
    """Steps that lead to a goal, in the order of work."""

    goal: Text
    requirements: list[Text] = Field(max_length=MAX_STEPS)
    steps: list[Step] = Field(max_length=MAX_STEPS)
    references: list[Text] = Field(default_factory=list, max_length=MAX_STEPS)
    revision: int = 1


class Code(BaseModel):
    """A Python module; one function for every step of its plan."""

    source: Annotated[str, Field(max_length=200_000)]
    revision: int = 1


class Finding(BaseModel):
    """One rule that does not hold, and where."""

    rule: Text
    where: Text
    message: Text


class Verdict(BaseModel):
    """The result of a validation; valid when nothing was found."""

    valid: bool
    findings: list[Finding]


def verdict(findings: list[Finding]) -> Verdict:
    """Return the verdict that follows from the findings."""
    return Verdict(valid=not findings, findings=findings)
