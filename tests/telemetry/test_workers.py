"""Exemplars of several workers reach the one page of metrics; of one bucket the newest does."""

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from auth_sidecar.merged_metrics import MergedMetrics, snapshot
from contract.web import open_metrics


def test_of_two_workers_the_newest_exemplar_of_a_bucket_is_shown() -> None:
    merged = MergedMetrics(CollectorRegistry())
    for worker in ("1", "2"):
        registry = CollectorRegistry()
        Histogram("seconds", "Help.", registry=registry, buckets=(1.0,)).observe(0.5, {"trace_id": worker * 32})
        merged.keep(worker, snapshot(registry))
    page = CollectorRegistry()
    page.register(merged)
    (family,) = text_string_to_metric_families(open_metrics(page).decode())  # type: ignore[no-untyped-call]
    bucket = next(sample for sample in family.samples if sample.labels.get("le") == "1.0")
    assert bucket.value == 2
    assert bucket.exemplar
    assert bucket.exemplar.labels == {"trace_id": "2" * 32}
