"""What is marked on every time axis: alerts that fire and end, configurations that are read, faults of the demo."""

import re
from collections.abc import Mapping
from typing import Any

from grafana_foundation_sdk.models import dashboard as models

from dashboards.conventions import Colour, datasource
from dashboards.queries import FIRING, SUBJECTS, first_label, narrowed

STEP = "15s"
"""How finely time is searched for marks: as often as Prometheus evaluates; Grafana's own step is a minute."""


class PrometheusAnnotation(models.AnnotationQuery):
    """An annotation of Grafana's Prometheus data source, whose own fields the SDK's model lacks."""

    def __init__(self, name: str, colour: Colour, expr: str, texts: Mapping[str, Any], *, is_on: bool) -> None:
        super().__init__(name=name, datasource=datasource(), enable=is_on, icon_color=colour.value, expr=expr)
        self._extra = {**texts, "step": STEP}

    def to_json(self) -> dict[str, object]:
        """Return what the SDK writes, and the data source's own fields."""
        return {**super().to_json(), **self._extra}


def of(marked: str) -> list[models.AnnotationQuery]:
    """Return the annotations of a dashboard. `marked` are matchers of the alerts that it is about: their starts are on.

    Everything else is off until somebody wants it: after some events lines would bury the data.
    """
    firing = narrowed(FIRING, marked)
    return [alerts("fired", firing, is_on=bool(marked)), alerts("resolved", firing, is_on=False), reloads(), faults()]


def alerts(turn: str, firing: str, *, is_on: bool) -> models.AnnotationQuery:
    """Mark when alerts fired or were resolved: lines, because the shade of a long alert would lie on every graph."""
    state = f"max by (alertname, severity, component, subject) ({first_label(firing, 'subject', SUBJECTS)})"
    begins = turn == "fired"
    texts = {
        "titleFormat": f"{{{{alertname}}}} {turn}",
        "textFormat": "{{severity}}: {{subject}}",
        "tagKeys": "severity,component",
    }
    colour, expr = (Colour.BAD, _begins(state)) if begins else (Colour.GOOD, _ends(state))
    return PrometheusAnnotation(turn.capitalize(), colour, expr, texts, is_on=is_on)


def reloads() -> models.AnnotationQuery:
    """Mark when services read their configuration."""
    read = "max by (service) (mcp_config_last_reload_success_timestamp_seconds{})"
    expr = f"{read.format('')} unless ({read.format(' offset $__interval')} == {read.format('')})"
    texts = {"titleFormat": "{{service}} read its configuration"}
    return PrometheusAnnotation("Reloads", Colour.NEUTRAL, expr, texts, is_on=False)


def faults() -> models.AnnotationQuery:
    """Mark when the demo was broken on purpose, and when it was healed."""
    broken = "max by (fault) (mcp_demo_fault_active) == 1"
    turns = {"broken": _begins(f"({broken})"), "healed": _ends(f"({broken})")}
    marked = (f'label_replace({expr}, "turn", "{turn}", "", "")' for turn, expr in turns.items())
    texts = {
        "titleFormat": "Demo {{turn}}: {{fault}}",
        "textFormat": "On purpose, by make demo-break and demo-heal.",
    }
    return PrometheusAnnotation("Demo", Colour.WARNING, " or ".join(marked), texts, is_on=True)


def _begins(state: str) -> str:
    """Return where a state is and was not one step ago."""
    return f"({state}) unless ({_before(state)})"


def _ends(state: str) -> str:
    """Return where a state was one step ago and is not."""
    return f"({_before(state)}) unless ({state})"


def _before(state: str) -> str:
    return re.sub(r"(ALERTS{[^}]*}|mcp_demo_fault_active)", r"\1 offset $__interval", state)
