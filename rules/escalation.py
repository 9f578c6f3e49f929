"""Escalation policies: who is told next while nobody acknowledges. The routes take the channels, the desk the times."""

from collections.abc import Callable, Iterable
from itertools import pairwise
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
        for word, stages in self.escalations.items():
            _check_order(word, stages)
        return self

    def stages(self, escalation: str) -> tuple[Stage, ...]:
        """Return the stages of an escalation in their order; none for a word that is not known."""
        known = {word.value: stages for word, stages in self.escalations.items()}
        return known.get(escalation, ())


def _check_order(word: Escalation, stages: tuple[Stage, ...]) -> None:
    for before, stage in pairwise(stages):
        if stage.after <= before.after:
            raise ValueError(f"{word}: {stage.name} is not after {before.name}; write stages in their order in time")
    if len({stage.name for stage in stages}) < len(stages):
        raise ValueError(f"{word}: two stages of one name; a stage is known by its name, choose another")


def read(file: Path, check: Callable[[Escalations], Iterable[Finding]] = no_findings) -> Escalations:
    """Read the stages; raises ConfigError."""
    return load(file, Escalations, check).config
