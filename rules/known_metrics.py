"""Every series that a policy may use: ours from the catalogue, those of others from a file, recorded ones."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.config import ForeignModel, Model, load
from contract.metric import Kind, Metric, Values
from contract.metrics import CATALOGUE
from rules.interval import Interval

TARGET_LABELS = frozenset({"job", "instance"})
"""Labels that Prometheus adds to everything it scrapes."""
JOBS = {"exporter": "exporter", "sidecar": "auth-sidecar", "incident_desk": "incident-desk", "demo": "demo"}
"""The job in rules/prometheus.yml that scrapes each of our services."""
ANY = Interval()
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
    values: Values = field(default_factory=dict)
    """Every value of labels whose set is closed."""
    values_in: Interval = ANY
    """What its values lie in."""
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
    values: dict[str, tuple[str, ...]] = {}
    minimum: float = -math.inf
    maximum: float = math.inf
    is_whole: bool = False

    def values_in(self) -> Interval:
        low = max(self.minimum, 0) if self.kind is Kind.COUNTER else self.minimum
        return Interval(low, self.maximum, self.is_whole)


class _File(Model):
    jobs: tuple[str, ...] = ()
    """Jobs of other Prometheus configurations than the one at hand."""
    metrics: dict[str, _Foreign]


class _Job(ForeignModel):
    job_name: str


class _Prometheus(ForeignModel):
    """Of Prometheus' configuration the jobs alone."""

    scrape_configs: tuple[_Job, ...]


def read(file: Path, prometheus: Path, recorded: Iterable[Mapping[str, Any]] = ()) -> dict[str, Series]:
    """Return every known series by name; raises ConfigError."""
    foreign = load(file, _File).config
    scraped = load(prometheus, _Prometheus).config.scrape_configs
    jobs = {"job": tuple(dict.fromkeys((*(job.job_name for job in scraped), *foreign.jobs)))}
    theirs = (
        _series(name, each.kind, each.labels, {**each.values, **jobs}, values_in=each.values_in())
        for name, each in foreign.metrics.items()
    )
    rules = (Series(rule["record"], Kind.GAUGE, frozenset(rule.get("labels", ()))) for rule in recorded)
    return {**ours(foreign.jobs), **{series.name: series for series in (*theirs, *rules)}}


def ours(jobs: Iterable[str] = ()) -> dict[str, Series]:
    """Return the series of our own services by name; `jobs` scrape them in other Prometheus configurations."""
    return {series.name: series for metric in CATALOGUE.values() for series in _of(metric, jobs)}


def _of(metric: Metric, jobs: Iterable[str]) -> Iterator[Series]:
    """Yield the series of a metric: a histogram has three."""
    values = {**metric.values, "job": (*(JOBS[service] for service in metric.services), *jobs)}
    if metric.kind is not Kind.HISTOGRAM:
        able = Interval(*metric.bounds, metric.is_whole)
        yield _series(metric.name, metric.kind, metric.labels, values, values_in=able, services=metric.services)
        return
    for suffix, labels in (("_bucket", (*metric.labels, "le")), ("_count", metric.labels), ("_sum", metric.labels)):
        more = {"top_bucket": max(metric.buckets)} if suffix == "_bucket" else {}
        able = Interval(0, is_whole=suffix != "_sum")
        name = metric.name + suffix
        yield _series(name, Kind.COUNTER, labels, values, values_in=able, services=metric.services, **more)


def _series(name: str, kind: Kind, labels: Iterable[str], values: Values, **more: Any) -> Series:
    return Series(name, kind, frozenset(labels) | TARGET_LABELS, values, **more)
