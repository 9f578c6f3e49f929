"""/probe: one configured agent, asked now, in blackbox_exporter's style."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from contract.vocabulary import ProbeOutcome
from exporter.exchange import Transcript
from exporter.exposition import labels, number
from exporter.outcome import ProbeResult
from exporter.probes import make
from exporter.service import Exporter
from exporter.targets import Target

AT_ONCE = 20
"""Probes on demand at the same time; whoever comes later waits."""
TIMEOUT_OFFSET_SECONDS = 0.5
"""What is left of Prometheus' scrape time-out for the way back."""
SCRAPE_TIMEOUT = "X-Prometheus-Scrape-Timeout-Seconds"

_HELP = {
    "probe_success": "Whether the probe found the agent healthy; degraded counts as healthy, see probe_mcp_outcome.",
    "probe_duration_seconds": "How long the probe took.",
    "probe_http_status_code": "Status of the last HTTP answer, 0 when there was none.",
    "probe_mcp_outcome": "How the probe ended; 1 for the outcome it had.",
    "probe_mcp_tools": "Tools the agent lists.",
    "probe_mcp_info": "What the agent says it is.",
}


def handler(exporter: Exporter) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return the handler of GET /probe."""
    free = asyncio.Semaphore(AT_ONCE)

    async def probe(request: web.Request) -> web.Response:
        agent = exporter.fleet.agents.get(request.query.get("target", ""))
        if agent is None:
            return web.Response(status=404, text="unknown target; give the name of a configured agent\n")
        transcript = Transcript() if request.query.get("debug") == "true" else None
        http = exporter.client_for(agent.target, transcript)
        async with free:
            result = await make(agent.target)(http, _timeout(agent.target, request))
        body = metrics(result)
        return web.Response(text=body if transcript is None else _debug(agent.target, transcript, result, body))

    return probe


def _timeout(target: Target, request: web.Request) -> float:
    try:
        offered = float(request.headers.get(SCRAPE_TIMEOUT, "inf")) - TIMEOUT_OFFSET_SECONDS
    except ValueError:
        return target.timeout
    return min(target.timeout, offered) if offered > 0 else target.timeout


def metrics(result: ProbeResult) -> str:
    """Return the probe's metrics as text exposition."""
    lines = [
        *_family("probe_success", {"": float(result.outcome.is_healthy)}),
        *_family("probe_duration_seconds", {"": result.duration_seconds}),
        *_family("probe_http_status_code", {"": result.http_status}),
        *_family(
            "probe_mcp_outcome",
            {labels(("outcome",), (outcome,)): float(outcome is result.outcome) for outcome in ProbeOutcome},
        ),
    ]
    if result.tools is not None:
        lines += _family("probe_mcp_tools", {"": len(result.tools)})
    if result.identity is not None:
        who = result.identity
        names = ("era", "protocol_version", "server_name", "server_version")
        said = labels(names, (who.era, who.protocol_version, who.server_name, who.server_version))
        lines += _family("probe_mcp_info", {said: 1})
    return "".join(f"{line}\n" for line in lines)


def _family(name: str, samples: dict[str, float]) -> list[str]:
    values = [f"{name}{own} {number(value)}" for own, value in samples.items()]
    return [f"# HELP {name} {_HELP[name]}", f"# TYPE {name} gauge", *values]


def _debug(target: Target, transcript: Transcript, result: ProbeResult, body: str) -> str:
    settings = "\n".join(f"{name}: {getattr(target, name)}" for name in Target.__dataclass_fields__)
    verdict = f"{result.outcome}{f' ({result.detail})' if result.detail else ''}"
    exchange = "\n".join(transcript.lines)
    return f"Exchange:\n{exchange}\n\nOutcome: {verdict}\n\nMetrics:\n{body}\nTarget:\n{settings}\n"
