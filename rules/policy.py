"""The policy model: what a person decides about one alert, and the cases that show it right."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import BeforeValidator, Field, StringConstraints

from contract.config import Model
from contract.fields import Duration, PositiveDuration, format_duration
from contract.vocabulary import Component, Escalation, Severity
from rules import conventions
from rules.conditions import Condition

Name = Annotated[str, StringConstraints(pattern=f"^{conventions.POLICY_NAME}$")]
Label = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]


def _require_text(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a series of values; put it in quotes, YAML reads 0x20 as a number")
    return value


Values = Annotated[str, BeforeValidator(_require_text)]
"""Values of a series in promtool's notation: "0x8 1x4" is nine zeros and five ones."""
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Dashboard(Model):
    """The dashboard that an alert leads to; `labels` become its variables."""

    uid: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,40}$")] = "mcp-lookout-overview"
    panel: int | None = None
    labels: tuple[Label, ...] = ()


class ExpectedAlert(Model):
    """One alert as it must look when it fires: every label but `alertname`, and the texts after templating."""

    labels: dict[Label, str]
    summary: Text
    description: Text


class Case(Model):
    """Input series and what they must lead to. Written by hand: it pins the intent, so it is never generated."""

    interval: PositiveDuration = 15.0
    series: dict[str, Values] = Field(min_length=1)
    silent_at: tuple[Duration, ...] = ()
    fires_at: tuple[Duration, ...] = ()
    resolved_at: tuple[Duration, ...] = ()
    alerts: tuple[ExpectedAlert, ...] = ()

    @pydantic.model_validator(mode="after")
    def _is_complete(self) -> Any:
        if bool(self.fires_at) != bool(self.alerts):
            raise ValueError("fires_at and alerts go together; give when it fires and what it looks like")
        if not (self.fires_at or self.silent_at):
            raise ValueError("the case expects nothing; give fires_at or silent_at")
        if self.resolved_at and not self.fires_at:
            raise ValueError("what never fires cannot resolve; use silent_at")
        return self


class Cause(Model):
    """An alert that has already told what another one would tell again."""

    within: PositiveDuration
    """For how long after it fired."""
    equal: tuple[Label, ...] = ()
    """The labels in which both must agree."""


class Terms(Model):
    """What a person decides about one alert."""

    severity: Severity
    component: Component | None = None
    """Of what it speaks, where that is not its file's."""
    channels: tuple[str, ...]
    escalation: Escalation
    condition: Condition
    for_: Duration = Field(0.0, alias="for")
    keep_firing_for: Duration = 0.0
    summary: Text
    description: Text
    dashboard: Dashboard = Dashboard()
    group_by: tuple[Label, ...] = conventions.GROUPING[1:]
    """Alerts that agree in these labels travel in one message; none: all alerts of the policy do."""
    inhibits: dict[Name, tuple[Label, ...]] = {}
    """Policies that are only symptoms while this one fires, and the labels in which both must agree."""
    quiet_after: dict[Name, Cause] = {}
    """Policies whose alerts this one does not repeat, as its window still holds what they told."""
    lint: dict[str, Text] = {}
    """Checks that do not apply, each with the reason."""
    tests: dict[str, Case] = {}

    def expression(self) -> str:
        """Return the PromQL that is true while the alert has something new to tell."""
        condition = self.condition.expression()
        if not self.quiet_after:
            return condition
        return "\n".join((f"({condition})", *(_told(name, cause) for name, cause in self.quiet_after.items())))


def _told(name: str, cause: Cause) -> str:
    fired = f'ALERTS{{alertname="{conventions.alert_name(name)}", alertstate="firing"}}'
    window = format_duration(cause.within)
    return f"unless on ({', '.join(cause.equal)}) max_over_time({fired}[{window}])"


class PolicyFile(Model):
    """One file of policies: one concern."""

    component: Component
    policies: dict[Name, Terms] = Field(min_length=1)


@dataclass(frozen=True)
class Policy:
    """A policy with its name, its component and the file it stands in."""

    name: str
    component: Component
    terms: Terms
    file: Path
    environment: Path | None = None
    """The file whose overrides changed it."""

    def __str__(self) -> str:
        return self.name

    @property
    def alert(self) -> str:
        """Name of its alert."""
        return conventions.alert_name(self.name)

    def annotations(self) -> dict[str, str]:
        """Return the annotations that are the same for every alert of it."""
        return {conventions.CONDITION_HELD: format_duration(self.terms.for_)} if self.terms.for_ else {}

    def labels(self) -> dict[str, str]:
        """Return the labels that the rule adds to those of its expression."""
        return {
            "severity": self.terms.severity.value,
            "escalation": self.terms.escalation.value,
            "component": self.component.value,
        }
