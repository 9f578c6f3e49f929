"""Instruments that keep to the metric catalogue: right names, known label values at 0, a cap on label sets."""

from collections.abc import Mapping
from itertools import product
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from contract import vocabulary as words
from contract.metric import Kind, Metric, Values
from contract.metrics import CATALOGUE

DEFAULT_CAP = 500
"""Label sets a metric may have unless the service says otherwise."""


def is_possible(metric: Metric, labels: Mapping[str, str]) -> bool:
    """Whether a label set can occur: a result and a reason must tell the same story."""
    if "reason" not in labels:
        return True
    reason = words.AuthReason(labels["reason"])
    if reason is words.AuthReason.OK:
        return labels["result"] in ("success", "allow")
    return labels["result"] in (("error",) if reason.is_error else ("failure", "deny"))


def closed_label_sets(metric: Metric, known: Values | None = None) -> list[tuple[str, ...]]:
    """Return every label set that can be named in advance, in label order; none when a label is open.

    `known` adds values that the configuration closes, such as roles or issuers.
    """
    values = {**metric.values, **(known or {})}
    if any(label not in values for label in metric.labels):
        return []
    sets = product(*(values[label] for label in metric.labels))
    return [chosen for chosen in sets if is_possible(metric, dict(zip(metric.labels, chosen, strict=True)))]


class SeriesBudget:
    """Admits at most `cap` label sets a metric; what comes later is refused, and counted by the caller's counter."""

    def __init__(self, dropped: Counter, service: str, cap: int = DEFAULT_CAP) -> None:
        self._dropped = dropped
        self._service = service
        self._cap = cap
        self._admitted: dict[str, set[tuple[str, ...]]] = {}

    def admit(self, metric: str, label_values: tuple[str, ...]) -> bool:
        """Return whether a sample with these labels may be exposed; a refusal is counted."""
        admitted = self._admitted.setdefault(metric, set())
        if label_values in admitted:
            return True
        if len(admitted) >= self._cap:
            self._dropped.labels(self._service, metric).inc()
            return False
        admitted.add(label_values)
        return True


class NoChild:
    """Stands in for a labelled child beyond the cap: takes everything, keeps nothing."""

    def inc(self, amount: float = 1, exemplar: object = None) -> None:
        """Count nothing."""

    def dec(self, amount: float = 1) -> None:
        """Count nothing."""

    def set(self, value: float) -> None:
        """Set nothing."""

    def observe(self, amount: float, exemplar: object = None) -> None:
        """Observe nothing."""


_TYPES: Mapping[Kind, type[Counter] | type[Gauge] | type[Histogram]] = {
    Kind.COUNTER: Counter,
    Kind.GAUGE: Gauge,
    Kind.HISTOGRAM: Histogram,
}
_NO_CHILD = NoChild()


class Instruments:
    """The catalogue's metrics on one registry, for what a service itself does."""

    def __init__(
        self, registry: CollectorRegistry, service: str, *, cap: int = DEFAULT_CAP, known: Values | None = None
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry
        self.service = service
        self._known: Values = {"service": (service,), **(known or {})}
        self._made: dict[str, Any] = {}
        self.budget = SeriesBudget(self.counter("mcp_series_dropped_total"), service, cap)

    def counter(self, name: str) -> Counter:
        """Return the counter of that name; known label sets stand at 0."""
        made: Counter = self._make(name, Kind.COUNTER)
        return made

    def gauge(self, name: str) -> Gauge:
        """Return the gauge of that name; known label sets stand at 0."""
        made: Gauge = self._make(name, Kind.GAUGE)
        return made

    def histogram(self, name: str) -> Histogram:
        """Return the histogram of that name, with the catalogue's buckets."""
        made: Histogram = self._make(name, Kind.HISTOGRAM)
        return made

    def child(self, name: str, *label_values: str) -> Any:
        """Return the child with these labels, or one that keeps nothing when the metric is at its cap."""
        if not self.budget.admit(name, label_values):
            return _NO_CHILD
        return self._make(name, CATALOGUE[name].kind).labels(*label_values)

    def _make(self, name: str, kind: Kind) -> Any:
        if name not in self._made:
            metric = CATALOGUE[name]
            if metric.kind is not kind or self.service not in metric.services:
                raise ValueError(
                    f"{name} is a {metric.kind} of {', '.join(metric.services)}, not a {kind} of {self.service}"
                )
            options: dict[str, Any] = {"buckets": metric.buckets} if metric.buckets else {}
            made = _TYPES[kind](metric.name, metric.help, metric.labels, registry=self.registry, **options)
            for label_values in closed_label_sets(metric, self._known) if metric.labels else ():
                made.labels(*label_values)
            self._made[name] = made
        return self._made[name]
