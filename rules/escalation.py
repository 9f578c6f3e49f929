"""Escalation policies: who is told next while nobody acknowledges. The routes take the channels, the desk the times."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import Field, StringConstraints

from contract.config import Finding, Model, load, no_findings
from contract.fields import PositiveDuration
from contract.vocabulary import Escalation
from rules import conventions

ALERT = "EscalationDue"
"""Name of the alert by which the incident desk lets Alertmanager tell a stage's channels."""

Name = Annotated[str, StringConstraints(pattern=f"^{conventions.POLICY_NAME}$", max_length=100)]


class Stage(Model):
    """One step: `after` counts from when people were first told of the alert."""

    name: Name
    after: PositiveDuration
    channels: tuple[Name, ...] = Field(min_length=1)


class Escalations(Model):
    """The file: the stages of each escalation that a policy can name."""

    escalations: dict[Escalation, tuple[Stage, ...]]

    @pydantic.model_validator(mode="after")
    def _is_complete(self) -> Any:
        if Escalation.NONE in self.escalations:
            raise ValueError("escalation none has stages; remove it, none means that nobody else is told")
        for word in Escalation:
            if word is not Escalation.NONE and not self.escalations.get(word):
                raise ValueError(f"escalation {word} has no stages; policies name it, so give it one at least")
        return self

    def stages(self, escalation: str) -> tuple[Stage, ...]:
        """Return the stages of an escalation in their order; none for a word that is not known."""
        known = {word.value: stages for word, stages in self.escalations.items()}
        return known.get(escalation, ())


def _disorder(found: Escalations) -> Iterator[Finding]:
    for word, stages in found.escalations.items():
        names = [stage.name for stage in stages]
        for index, (before, stage) in enumerate(pairwise(stages), 1):
            place = ("escalations", word.value, index)
            if stage.after <= before.after:
                message = f"{stage.name} is not after {before.name}"
                yield Finding((*place, "after"), message, "write stages in their order in time")
            if stage.name in names[:index]:
                message = f"a second stage of the name {stage.name}"
                yield Finding((*place, "name"), message, "a stage is known by its name, choose another")


def read(file: Path, check: Callable[[Escalations], Iterable[Finding]] = no_findings) -> Escalations:
    """Read the stages; raises ConfigError."""
    return load(file, Escalations, lambda found: chain(_disorder(found), check(found))).config
