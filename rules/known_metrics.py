"""Every series that a policy may use: ours from the catalogue, those of others from a file, recorded ones."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.config import Model, load
from contract.metric import Kind, Metric
from contract.metrics import CATALOGUE

TARGET_LABELS = frozenset({"job", "instance"})
"""Labels that Prometheus adds to everything it scrapes."""
_FLAGS = ("_up", "_successful", "_broken")
_SCORES = "_score"
MOMENT = "moment"
_UNITS = {
    "_timestamp_seconds": MOMENT,
    "_start_time_seconds": MOMENT,
    "_cert_expiry": MOMENT,
    "_seconds": "seconds",
    "_bytes": "bytes",
}


@dataclass(frozen=True)
class Series:
    """What is known of one series name."""

    name: str
    kind: Kind
    labels: frozenset[str]
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Every value of labels whose set is closed."""
    maximum: float | None = None
    """The largest value it can have."""
    top_bucket: float | None = None
    """The largest finite boundary of its histogram."""
    services: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """What its values are, by its name: a moment, seconds or bytes; empty for everything else."""
        stem = self.name.removesuffix("_total").removesuffix("_bucket").removesuffix("_sum")
        return next((unit for suffix, unit in _UNITS.items() if stem.endswith(suffix)), "")


class _Foreign(Model):
    kind: Kind
    labels: tuple[str, ...] = ()
    maximum: float | None = None


class _File(Model):
    metrics: dict[str, _Foreign]


def read(file: Path, recorded: Iterable[Mapping[str, Any]] = ()) -> dict[str, Series]:
    """Return every known series by name; raises ConfigError."""
    foreign = load(file, _File).config.metrics
    ours = (series for metric in CATALOGUE.values() for series in _of(metric))
    theirs = (_series(name, each.kind, each.labels, maximum=each.maximum) for name, each in foreign.items())
    rules = (Series(rule["record"], Kind.GAUGE, frozenset(rule.get("labels", ()))) for rule in recorded)
    return {series.name: series for series in (*ours, *theirs, *rules)}


def _of(metric: Metric) -> Iterator[Series]:
    """Yield the series of a metric: a histogram has three."""
    if metric.kind is not Kind.HISTOGRAM:
        maximum = 1.0 if metric.name.endswith(_FLAGS) else 100.0 if metric.name.endswith(_SCORES) else None
        yield _series(metric.name, metric.kind, metric.labels, metric.values, maximum=maximum, services=metric.services)
        return
    for suffix, labels in (("_bucket", (*metric.labels, "le")), ("_count", metric.labels), ("_sum", metric.labels)):
        top = max(metric.buckets) if suffix == "_bucket" else None
        yield _series(
            metric.name + suffix, Kind.COUNTER, labels, metric.values, top_bucket=top, services=metric.services
        )


def _series(
    name: str, kind: Kind, labels: Iterable[str], values: Mapping[str, tuple[str, ...]] | None = None, **more: Any
) -> Series:
    return Series(name, kind, frozenset(labels) | TARGET_LABELS, values or {}, **more)
