"""The running exporter without its HTTP side: probes, readings and checks, kept going and reconfigured."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import quote

import aiohttp

from contract.instruments import Instruments
from contract.tracing import Tracer, spanning
from contract.vocabulary import HealthComponent, ProbeOutcome
from exporter.clients import Clients
from exporter.config import AlertmanagerApi, Api, Check, ExporterConfig, WorkflowSource
from exporter.exchange import HttpClient, Transcript
from exporter.exposition import header, sample
from exporter.file_sd import RESCAN_SECONDS, TargetFiles
from exporter.fleet import Agent, Fleet
from exporter.health import alerts, checks, score
from exporter.health.alerts import Alerts, alarms
from exporter.outcome import ProbeResult
from exporter.poller import Poller
from exporter.probes import make as make_probe
from exporter.targets import Target, of_config, unique
from exporter.tool_pins import Fingerprints, read_pins
from exporter.workflows import source as workflow_source
from exporter.workflows.readings import Readings

logger = logging.getLogger(__name__)

YOUNG_SECONDS = 60.0
"""How long after the start what was never measured counts as not measured yet; then it is unknown."""

CheckResults = dict[str, tuple[Check, float | str]]


class Exporter:
    """Everything that is asked and what it last answered."""

    def __init__(
        self,
        config: ExporterConfig,
        session: aiohttp.ClientSession,
        instruments: Instruments,
        clock: Callable[[], float] = time.time,
        tracer: Tracer | None = None,
    ) -> None:
        self.config = config
        self.tracer = tracer
        self.clock = clock
        self.started_at = clock()
        self.fleet = Fleet(instruments, clock)
        self.readings = Readings(instruments, clock)
        self.alerts = Alerts()
        self.checks: dict[HealthComponent, CheckResults] = {}
        self._measured: set[HealthComponent] = set()
        self.target_files = TargetFiles(config)
        self._from_files: list[Target] = []
        self._is_ready = False
        self._session = session
        self._clients = Clients(session, {}, tracer)
        self._poller = Poller(self._look, config.limits.concurrent_probes)
        self._polling: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin asking."""
        await self.apply(self.config)
        self._polling = asyncio.create_task(self._poller.run())

    async def close(self) -> None:
        """Stop asking; legacy sessions under way are ended."""
        running = [*self._tasks, *([self._polling] if self._polling else [])]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def apply(self, config: ExporterConfig) -> None:
        """Put a configuration into force; what it does not change keeps what is known."""
        pins = await asyncio.to_thread(_read_pins, config)
        files = TargetFiles(config, self.target_files)
        from_files = await asyncio.to_thread(files.scan)
        if self.fleet.agents:
            self.is_ready()
        self.config, self.target_files = config, files
        self._clients = Clients(self._session, config.credentials, self.tracer)
        self.fleet.set_types(config.types)
        self.fleet.set_pins(pins)
        self._poller.set_concurrency(config.limits.concurrent_probes)
        self._set_targets(from_files)
        for agent in self.fleet.agents.values():
            agent.http = self.client_for(agent.target)
        sources = {source.name: source for source in config.workflow_sources}
        self.readings.configure(sources, config.health.window, config.limits.series_per_metric)
        self._configure_checks(config)
        await self._restart_tasks(config)

    def is_ready(self) -> bool:
        """Whether every agent known at the start has been looked at; once ready, always ready."""
        self._is_ready = self._is_ready or self.fleet.has_been_probed()
        return self._is_ready

    def client_for(self, target: Target, transcript: Transcript | None = None) -> HttpClient:
        """Return a client for a target, with trust and token of the running configuration."""
        return self._clients.make(target.url, target.credentials, target.ca_file, transcript)

    def health(self) -> score.SystemHealth:
        """Judge the system from what is known now."""
        now = self.clock()
        states = {kind: [agent.state(now) for agent in found] for kind, found in self.fleet.by_type().items()}
        is_young = now - self.started_at < YOUNG_SECONDS
        components = [
            score.agents(states, is_young=is_young),
            score.checks(HealthComponent.INFRASTRUCTURE, self.checks.get(HealthComponent.INFRASTRUCTURE, {})),
            score.workflows(self.readings.window()),
            score.checks(HealthComponent.SECURITY, self.checks.get(HealthComponent.SECURITY, {})),
        ]
        if is_young:
            measured = self._measured | ({HealthComponent.WORKFLOWS} if self.readings.has_been_read() else set())
            components = [one if one.name in measured else score.not_measured_yet(one) for one in components]
        return score.combine(components, self.config.health.weights, alarms(self.alerts.alerts))

    def exposition(self) -> bytes:
        """Render every series that comes from snapshots."""
        return self.fleet.exposition() + self._file_series() + self.readings.exposition() + self._health_series()

    def _file_series(self) -> bytes:
        states = self.target_files.states().items()
        lines = "".join(sample("mcp_target_file_up", (pattern,), is_good) for pattern, is_good in states)
        return header("mcp_target_file_up") + lines.encode()

    def _health_series(self) -> bytes:
        health = self.health()
        known = ((part.name, part.score) for part in health.components if part.score is not None)
        parts = "".join(sample("mcp_component_health_score", (name,), value) for name, value in known)
        total = "" if health.score is None else sample("mcp_system_health_score", (), health.score)
        return b"".join(
            [header("mcp_system_health_score"), total.encode(), header("mcp_component_health_score"), parts.encode()]
        )

    def _make_agent(self, target: Target) -> Agent:
        return Agent(target, make_probe(target), self.client_for(target))

    def _set_targets(self, from_files: list[Target]) -> None:
        self._from_files = from_files
        targets, doubles = unique([*of_config(self.config), *from_files])
        for double in doubles:
            extra = {"agent": double.name, "url": double.url}
            logger.error("agent name taken by an earlier target; this one is not probed", extra=extra)
        self._poller.add(self.fleet.set_targets(targets, self._make_agent, self.config.limits.agents))

    async def _look(self, agent: Agent) -> None:
        if self.tracer is None:
            return self.fleet.record(agent, await self._probed(agent))
        target = agent.target
        who = {"lookout.agent": target.name, "lookout.agent_type": target.agent_type}
        with self.tracer.span(f"probe {target.probe}") as span:
            result = await self._probed(agent)
            span.attributes.update({**who, "lookout.probe.outcome": result.outcome.value})
            if not result.outcome.is_healthy:
                span.attributes["error.type"], span.is_error = result.outcome.value, True
            self.fleet.record(agent, result, span.exemplar if span.is_sampled else None)

    async def _probed(self, agent: Agent) -> ProbeResult:
        try:
            return await agent.probe(agent.http, agent.target.timeout)
        except Exception:
            logger.exception("a probe broke", extra={"agent": agent.target.name})
            return ProbeResult(ProbeOutcome.PROTOCOL_ERROR, 0.0, "the probe itself broke; see the exporter's log")

    async def _rescan(self) -> None:
        found = await asyncio.to_thread(self.target_files.scan)
        if found != self._from_files:
            self._set_targets(found)

    def _configure_checks(self, config: ExporterConfig) -> None:
        """Forget answers to checks that are no longer asked, keep the others."""
        asked = {
            HealthComponent.INFRASTRUCTURE: config.health.infrastructure,
            HealthComponent.SECURITY: config.health.security,
        }
        before, self.checks = self.checks, {}
        for component, wanted in asked.items() if config.prometheus else ():
            known = before.get(component, {})
            kept = {name: known[name] for name in wanted if name in known and known[name][0] == wanted[name]}
            self.checks[component] = {name: kept.get(name, (check, "not read yet")) for name, check in wanted.items()}

    async def _restart_tasks(self, config: ExporterConfig) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        work = [_repeat(source.interval, self._source_reader(source)) for source in config.workflow_sources]
        if config.file_sd:
            work.append(_repeat(RESCAN_SECONDS, self._rescan))
        if config.prometheus:
            work.append(_repeat(config.prometheus.interval, self._check_reader(config.prometheus)))
        if config.alertmanager:
            work.append(_repeat(config.alertmanager.interval, self._alert_reader(config.alertmanager)))
        else:
            self.alerts = Alerts(problem="no Alertmanager is configured")
        self._tasks = [asyncio.create_task(each) for each in work]

    def _source_reader(self, source: WorkflowSource) -> Callable[[], Awaitable[None]]:
        http = self._clients.make(source.url, source.credentials, source.ca_file)

        async def read() -> None:
            with spanning(self.tracer, "read workflow source", lookout__workflow_source=source.name) as span:
                told = await workflow_source.read(source, http)
                if span:
                    span.is_error = isinstance(told, str)
                self.readings.record(source.name, told)

        return read

    def _check_reader(self, api: Api) -> Callable[[], Awaitable[None]]:
        base = f"{api.url.rstrip('/')}{checks.PATH}?query="

        async def read() -> None:
            await asyncio.gather(*(ask(part, name) for part, results in self.checks.items() for name in list(results)))

        async def ask(component: HealthComponent, name: str) -> None:
            results = self.checks[component]
            check = results[name][0]
            http = self._clients.make(base + quote(check.query, safe=""), api.credentials, api.ca_file)
            results[name] = check, await checks.read(http, check, api.timeout)
            if isinstance(results[name][1], float):
                self._measured.add(component)

        return read

    def _alert_reader(self, api: AlertmanagerApi) -> Callable[[], Awaitable[None]]:
        http = self._clients.make(f"{api.url.rstrip('/')}{alerts.PATH}", api.credentials, api.ca_file)

        async def read() -> None:
            told = await alerts.read(http, api.timeout)
            if isinstance(told, str):
                # Alerts that cannot be confirmed are not shown as present: what is unknown is said to be unknown.
                self.alerts = Alerts(problem=told, read_at=self.alerts.read_at)
            else:
                news = tuple(alert for alert in told if alert.name not in api.heartbeats)
                self.alerts = Alerts(news, "", self.clock())

        return read


async def _repeat(interval: float, work: Callable[[], Awaitable[None]]) -> None:
    """Work now and then once an interval; one failure does not end it."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + interval
        try:
            await work()
        except Exception:
            logger.exception("a periodic reading broke")
        await asyncio.sleep(max(due - loop.time(), 0.1))


def _read_pins(config: ExporterConfig) -> Mapping[str, Fingerprints]:
    if config.pinned_tools is None or not config.pinned_tools.exists():
        return {}
    return read_pins(config.pinned_tools)
