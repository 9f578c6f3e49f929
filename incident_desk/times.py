"""How long people took, as the database has counted it: what was measured outlasts a restart of the desk.

A counter in memory loses what it measured after the last scrape, and Grafana would tell another mean than the desk.
"""

import math
from collections.abc import Iterator
from contextlib import suppress

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from contract.metrics import CATALOGUE
from contract.vocabulary import Severity
from incident_desk.incident import Incident
from incident_desk.store import Measured, Store, StoreError

DETECT, ACKNOWLEDGE, RESOLVE = (f"mcp_incident_{word}_seconds" for word in ("detect", "acknowledge", "resolve"))


def measure(store: Store, name: str, incident: Incident, seconds: float | None) -> None:
    """Count a time of an incident, in the transaction that makes it known; None where it is not."""
    if seconds is not None:
        bound = next((each for each in CATALOGUE[name].buckets if seconds <= each), math.inf)
        store.measure(name, incident.severity.value, bound, seconds)


class Times(Collector):
    """The histograms of detection, acknowledgement and resolution."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: list[Measured] = []
        """What was read last, which counts while the database cannot be."""

    def collect(self) -> Iterator[Metric]:
        """Yield the histograms; a severity of which nothing was measured stands at 0."""
        with suppress(StoreError):
            self._read = self._store.measured()
        for name in (DETECT, ACKNOWLEDGE, RESOLVE):
            about = CATALOGUE[name]
            family = HistogramMetricFamily(about.name, about.help, labels=about.labels)
            for severity in Severity:
                found = [each for each in self._read if (each.name, each.severity) == (name, severity)]
                bounds = (*about.buckets, math.inf)
                counts = [sum(each.times for each in found if each.bound <= bound) for bound in bounds]
                buckets = [(_word(bound), count) for bound, count in zip(bounds, counts, strict=True)]
                family.add_metric([severity.value], buckets, sum(each.seconds for each in found))
            yield family


def _word(bound: float) -> str:
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]
