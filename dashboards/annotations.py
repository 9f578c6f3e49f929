"""What is marked on every time axis: alerts that fire and end, configurations that are read, faults of the demo."""

import re
from collections.abc import Mapping
from typing import Any

from grafana_foundation_sdk.models import dashboard as models

from dashboards.conventions import Colour, datasource
from dashboards.queries import FIRING, SUBJECTS, first_label

STEP = "15s"
"""How finely time is searched for marks: as often as Prometheus evaluates; Grafana's own step is a minute."""


class PrometheusAnnotation(models.AnnotationQuery):
    """An annotation of Grafana's Prometheus data source, whose own fields the SDK's model lacks."""

    def __init__(self, name: str, colour: Colour, expr: str, extra: Mapping[str, Any]) -> None:
        super().__init__(name=name, datasource=datasource(), icon_color=colour.value, expr=expr)
        self._extra = extra

    def to_json(self) -> dict[str, object]:
        """Return what the SDK writes, and the data source's own fields."""
        return {**super().to_json(), **self._extra}


def common() -> list[models.AnnotationQuery]:
    """Return the annotations of every dashboard."""
    return [alerts("fired", Colour.BAD), alerts("resolved", Colour.GOOD), reloads(), demo_faults()]


def alerts(turn: str, colour: Colour) -> models.AnnotationQuery:
    """Mark when alerts fired or were resolved: lines, because the shade of a long alert would lie on every graph."""
    firing = f"max by (alertname, severity, component, subject) ({first_label(FIRING, 'subject', SUBJECTS)})"
    return PrometheusAnnotation(
        f"Alerts {turn}",
        colour,
        _begins(firing) if turn == "fired" else _ends(firing),
        {
            "titleFormat": f"{{{{alertname}}}} {turn}",
            "textFormat": "{{severity}}: {{subject}}",
            "tagKeys": "severity,component",
            "step": STEP,
        },
    )


def reloads() -> models.AnnotationQuery:
    """Mark each reading of a configuration; the sample's value is its time, in milliseconds as Grafana wants."""
    return PrometheusAnnotation(
        "Configuration reloads",
        Colour.NEUTRAL,
        "1000 * max by (service) (mcp_config_last_reload_success_timestamp_seconds)",
        {"titleFormat": "{{service}} read its configuration", "useValueForTime": True},
    )


def demo_faults() -> models.AnnotationQuery:
    """Mark when the demo was broken on purpose, and when it was healed."""
    broken = "max by (fault) (mcp_demo_fault_active) == 1"
    turns = {"broken": _begins(f"({broken})"), "healed": _ends(f"({broken})")}
    marked = (f'label_replace({expr}, "turn", "{turn}", "", "")' for turn, expr in turns.items())
    return PrometheusAnnotation(
        "Demo faults",
        Colour.WARNING,
        " or ".join(marked),
        {
            "titleFormat": "Demo {{turn}}: {{fault}}",
            "textFormat": "On purpose, by make demo-break and demo-heal.",
            "step": STEP,
        },
    )


def _begins(state: str) -> str:
    """Return where a state is and was not one step ago."""
    return f"({state}) unless ({_before(state)})"


def _ends(state: str) -> str:
    """Return where a state was one step ago and is not."""
    return f"({_before(state)}) unless ({state})"


def _before(state: str) -> str:
    return re.sub(r"(ALERTS{[^}]*}|mcp_demo_fault_active)", r"\1 offset $__interval", state)
