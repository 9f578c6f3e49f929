"""What is marked on every time axis: alerts while they fire, configurations that were reloaded, faults of the demo."""

from collections.abc import Mapping
from typing import Any

from grafana_foundation_sdk.models import dashboard as models

from dashboards.conventions import Colour, datasource
from dashboards.queries import FIRING, SUBJECTS, first_label


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
    return [alerts(), reloads(), demo_faults()]


def alerts() -> models.AnnotationQuery:
    """Mark each alert from its firing to its resolution."""
    return PrometheusAnnotation(
        "Alerts",
        Colour.BAD,
        f"max by (alertname, severity, component, subject) ({first_label(FIRING, 'subject', SUBJECTS)})",
        {"titleFormat": "{{alertname}}", "textFormat": "{{severity}}: {{subject}}", "tagKeys": "severity,component"},
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
    """Mark each fault of the demo from its break to its healing."""
    return PrometheusAnnotation(
        "Demo faults",
        Colour.WARNING,
        "max by (fault) (mcp_demo_fault_active) == 1",
        {"titleFormat": "Demo fault {{fault}}", "textFormat": "broken on purpose; make demo-heal ends it"},
    )
