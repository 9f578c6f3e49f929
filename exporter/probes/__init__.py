"""Probes, one file a kind: each looks at one agent through an HttpClient and returns a ProbeResult, never raising."""

from collections.abc import Callable, Mapping
from typing import Protocol

from exporter.exchange import HttpClient
from exporter.outcome import ProbeResult
from exporter.probes import health_json, http, mcp
from exporter.targets import Target


class Probe(Protocol):
    """Looks at one agent, again and again; keeps what makes the next look cheaper."""

    async def __call__(self, http: HttpClient, timeout_seconds: float) -> ProbeResult:
        """Look once; `timeout_seconds` bounds everything but the polite end of a session."""


_KINDS: Mapping[str, Callable[[Target], Probe]] = {
    "mcp": mcp.McpProbe,
    "http": http.HttpProbe,
    "health_json": health_json.HealthJsonProbe,
}


def make(target: Target) -> Probe:
    """Return a fresh probe for a target."""
    return _KINDS[target.probe](target)
