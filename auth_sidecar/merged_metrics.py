"""One page of metrics for several workers: what is counted is added up, what is a state is told by its meaning.

Snapshots cross process borders as plain lists. What a worker had counted stays counted when it has died and another
took its place, so that sums never fall.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample

Labels = tuple[tuple[str, str], ...]
Series = tuple[str, Labels]
"""Name of a sample, and its labels."""
Snapshot = list[Any]
"""Families: name, help, type and samples; a sample is its name, its labels, its value and perhaps its exemplar."""

ADDED = frozenset({"counter", "histogram"})


def _oldest(values: Iterable[float]) -> float:
    """Return the smallest of the moments; 0 means that there was none yet."""
    return min((value for value in values if value), default=0.0)


STATES: Mapping[str, Callable[[Iterable[float]], float]] = {
    "mcp_auth_jwks_last_refresh_timestamp_seconds": _oldest,
    "mcp_config_last_reload_successful": min,
    "mcp_config_last_reload_success_timestamp_seconds": min,
    "process_start_time_seconds": min,
    "process_open_fds": sum,
    "process_resident_memory_bytes": sum,
    "process_virtual_memory_bytes": sum,
}
"""What a gauge means for all together; of any other gauge all workers know the same, or only one has it."""


def snapshot(registry: CollectorRegistry) -> Snapshot:
    """Return all samples of a registry in a form that JSON can carry."""
    return [
        [family.name, family.documentation, family.type, [_told(sample) for sample in family.samples]]
        for family in registry.collect()
    ]


def _told(sample: Sample) -> list[Any]:
    exemplar = sample.exemplar
    seen = [[exemplar.labels, exemplar.value, exemplar.timestamp]] if exemplar else []
    return [sample.name, sample.labels, sample.value, *seen]


class MergedMetrics(Collector):
    """Collects the supervisor's own metrics and the latest snapshot of each worker."""

    def __init__(self, own: CollectorRegistry) -> None:
        self._own = own
        self._latest: dict[str, Snapshot] = {}
        self._counted: dict[str, dict[Series, float]] = {}

    def keep(self, worker: str, taken: Snapshot) -> None:
        """Take a worker's newest snapshot."""
        self._latest[worker] = taken

    def ended(self, worker: str) -> None:
        """Keep what a worker had counted; its states are known until another takes its place."""
        taken = self._latest.get(worker, [])
        for name, _, kind, samples in taken:
            if kind in ADDED:
                counted = self._counted.setdefault(name, {})
                for series, value in _series(samples):
                    counted[series] = counted.get(series, 0.0) + value
        self._latest[worker] = [[*family[:3], [] if family[2] in ADDED else family[3]] for family in taken]

    def collect(self) -> Iterator[Metric]:
        """Return the families of all together."""
        families: dict[str, Metric] = {}
        values: dict[str, dict[Series, list[float]]] = {}
        for name, help_, kind, samples in [f for taken in (snapshot(self._own), *self._latest.values()) for f in taken]:
            families.setdefault(name, Metric(name, help_, kind))
            held = values.setdefault(name, {})
            for series, value in _series(samples):
                held.setdefault(series, []).append(value)
        exemplars = self._exemplars()
        for name, family in families.items():
            counted = self._counted.get(name, {})
            for series in {**values[name], **counted}:
                found = values[name].get(series, [])
                total = sum(found) + counted.get(series, 0.0)
                value = total if family.type in ADDED else STATES.get(name, max)(found)
                family.add_sample(series[0], dict(series[1]), value, exemplar=exemplars.get(series))
            yield family

    def _exemplars(self) -> dict[Series, Exemplar]:
        """Return the newest exemplar of each series."""
        found: dict[Series, Exemplar] = {}
        for name, labels, _, *seen in [s for taken in self._latest.values() for f in taken for s in f[3]]:
            series = (name, tuple(labels.items()))
            for exemplar in (Exemplar(*parts) for parts in seen):
                if series not in found or _moment(exemplar) > _moment(found[series]):
                    found[series] = exemplar
        return found


def _moment(exemplar: Exemplar) -> float:
    return float(exemplar.timestamp or 0)


def _series(samples: Iterable[Sequence[Any]]) -> Iterator[tuple[Series, float]]:
    for name, labels, value, *_ in samples:
        yield (name, tuple(labels.items())), value
