"""What a metric is: its type, labels and buckets; the catalogue in contract.metrics is made of these."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Values = Mapping[str, tuple[str, ...]]


class Kind(StrEnum):
    """Prometheus metric types in use."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


MCP_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Seconds; boundaries of the OpenTelemetry MCP conventions."""
DECISION_BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Seconds an auth decision takes."""
WORKFLOW_BUCKETS = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0)
"""Seconds a workflow run or step takes."""
ITERATION_BUCKETS = (1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0)
"""Iterations of a workflow run."""
INCIDENT_BUCKETS = (10.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 86400.0, 604800.0)
"""Seconds until something happens to an incident; 15 and 60 minutes are when escalation begins."""

_BOUNDS = {
    **dict.fromkeys(("_up", "_successful", "_broken", "_active"), (0.0, 1.0)),
    "_info": (1.0, 1.0),
    "_score": (0.0, 100.0),
}


@dataclass(frozen=True)
class Metric:
    """One metric family, as exposed."""

    name: str
    """Full name; counters end in `_total`."""
    kind: Kind
    help: str
    services: tuple[str, ...]
    """Which services emit it."""
    labels: tuple[str, ...] = ()
    values: Values = field(default_factory=dict)
    """Every value of the labels whose set is closed."""
    buckets: tuple[float, ...] = ()

    @property
    def unit(self) -> str:
        """Base unit by the name's suffix; empty for plain counts."""
        stem = self.name.removesuffix("_total")
        return next((unit for unit in ("timestamp_seconds", "seconds", "bytes", "info") if stem.endswith(unit)), "")

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest value by the name's suffix; nothing of ours is below 0."""
        return next((bounds for suffix, bounds in _BOUNDS.items() if self.name.endswith(suffix)), (0.0, math.inf))

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers: counts and flags are, times and scores are not."""
        return self.kind is not Kind.HISTOGRAM and self.unit in ("", "info") and not self.name.endswith("_score")


def words_of(vocabulary: type[StrEnum]) -> tuple[str, ...]:
    """Return the words of a vocabulary, as values of a label."""
    return tuple(word.value for word in vocabulary)


def gauge(name: str, help: str, service: str, labels: Iterable[str] = (), **values: tuple[str, ...]) -> Metric:
    """Return a gauge of one service."""
    return Metric(name, Kind.GAUGE, help, (service,), tuple(labels), values)


def counter(name: str, help: str, service: str, labels: Iterable[str] = (), **values: tuple[str, ...]) -> Metric:
    """Return a counter of one service."""
    return Metric(name, Kind.COUNTER, help, (service,), tuple(labels), values)


def histogram(
    name: str, help: str, service: str, labels: Iterable[str], buckets: tuple[float, ...], **values: tuple[str, ...]
) -> Metric:
    """Return a histogram of one service."""
    return Metric(name, Kind.HISTOGRAM, help, (service,), tuple(labels), values, buckets)
