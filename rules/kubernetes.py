"""The same rules and scrapes as objects of the Prometheus operator."""

from typing import Any

from rules import conventions

LABELS = {"app.kubernetes.io/part-of": "mcp-lookout"}
# The jobs that policies ask for by name, as in rules/prometheus.yml.
_SCRAPED = {
    "exporter": ("mcp-lookout-exporter", conventions.SCRAPE_INTERVAL_SECONDS, "10s", 200000, "64MB"),
    "incident-desk": ("mcp-lookout-incident-desk", conventions.SCRAPE_INTERVAL_SECONDS, "10s", 5000, "8MB"),
    "auth-sidecar": ("mcp-lookout-sidecar", conventions.SIDECAR_SCRAPE_INTERVAL_SECONDS, "4s", 50000, "32MB"),
}


def metadata(name: str) -> dict[str, Any]:
    """Return the metadata of an object."""
    return {"name": name, "labels": dict(LABELS)}


def prometheus_rule(groups: list[dict[str, Any]]) -> dict[str, Any]:
    """Return all rule groups as one PrometheusRule."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": metadata("mcp-lookout"),
        "spec": {"groups": groups},
    }


def service_monitors() -> list[dict[str, Any]]:
    """Return what scrapes our services, with the limits of rules/prometheus.yml."""
    return [_service_monitor(job, *facts) for job, facts in _SCRAPED.items()]


def _service_monitor(job: str, service: str, interval: float, timeout: str, samples: int, size: str) -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": metadata(service),
        "spec": {
            "selector": {"matchLabels": {"app.kubernetes.io/name": service}},
            "sampleLimit": samples,
            "labelLimit": 20,
            "labelValueLengthLimit": 256,
            "bodySizeLimit": size,
            "endpoints": [
                {
                    "port": "metrics",
                    "interval": f"{interval:.0f}s",
                    "scrapeTimeout": timeout,
                    "honorLabels": False,
                    "relabelings": [{"action": "replace", "targetLabel": "job", "replacement": job}],
                }
            ],
        },
    }
