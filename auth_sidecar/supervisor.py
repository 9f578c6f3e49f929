"""Several workers on one port: starts, replaces and ends them, and is the one admin port for all.

Each worker has an audit chain of its own, `chain-1` and so on, so that no chain can fork; the main chain is the
supervisor's, for what it does itself. Limits are counted in memory that all share (`shared_table`), revocations are in
a file that all read. When the supervisor dies, however it dies, the workers end.
"""

import asyncio
import base64
import functools
import logging
import pickle
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry

from auth_sidecar import audit_chain, build
from auth_sidecar.admin import AdminGuard, RevocationPages
from auth_sidecar.background import Background
from auth_sidecar.config import Settings, SidecarConfig, load
from auth_sidecar.merged_metrics import MergedMetrics
from auth_sidecar.place import Listeners, Shared
from auth_sidecar.revocation import Revocations
from auth_sidecar.worker_process import WorkerProcess
from contract import tracing_settings
from contract.config import ConfigError, Problem
from contract.instruments import Instruments
from contract.vocabulary import AuditEvent
from contract.web import Reloader, serve, setup_admin

logger = logging.getLogger(__name__)

START_SECONDS = 60.0
"""Longest time a worker takes until it answers."""
LOOK_SECONDS = 5.0
"""How often workers are asked for their metrics; what one has counted since is lost with it, its records are not."""
ANSWER_SECONDS = 2.0
"""How long a worker may take to tell its metrics; a scrape waits for it, and tells the last ones then."""
QUICK_SECONDS = 10.0
"""A worker that lives shorter than this has its successor wait."""
FIRST_WAIT_SECONDS = 0.5
"""How long, the first time; connections wait as well. When it becomes longer they go to the other workers."""
LONGEST_WAIT_SECONDS = 30.0
END_SECONDS = 5.0
"""How long a worker may take to end beyond the time that open requests have."""


class Supervisor:
    """A started sidecar of several workers; to others it is what `app.Sidecar` is."""

    def __init__(self, config_file: Path, registry: CollectorRegistry) -> None:
        """Read the configuration; raises ConfigError when it is not usable."""
        self.instruments = Instruments(registry, "sidecar")
        self._running: SidecarConfig | None = None
        self.reloader = Reloader(lambda: load(config_file, self._running), self.instruments, self._apply)
        self._running = self.settings.sidecar
        self.registry = CollectorRegistry()
        self._metrics = MergedMetrics(registry)
        self.registry.register(self._metrics)
        self._deaths = self.instruments.counter("mcp_sidecar_worker_deaths_total")
        self._count = self.instruments.gauge("mcp_sidecar_workers")
        self._workers: dict[int, WorkerProcess] = {}
        self._background = Background(self.instruments)
        self._stack = AsyncExitStack()
        self._is_ending = False
        self.url = self.admin_url = self.forward_url = ""

    @property
    def settings(self) -> Settings:
        """The configuration in force."""
        return self.reloader.current

    async def start(
        self, *, host: str | None = None, port: int | None = None, admin_host: str | None = None,
        admin_port: int | None = None,
    ) -> "Supervisor":  # fmt: skip
        """Open the main audit chain, all ports and the workers; arguments win. Raises OSError."""
        config = self.settings.sidecar
        self._numbers = range(1, config.workers + 1)
        self.audit = build.audit_log(config, self.instruments, audit_chain.MAIN)
        self.audit.open()
        self._stack.push_async_callback(self.audit.close)
        written = {audit_chain.MAIN, *map(str, self._numbers)}
        await build.tidy_chains_at_rest(config, self.instruments, written)
        self.revocations = Revocations(config.revocations_file, self.instruments, lambda: None)
        self.revocations.check()
        self._share(host or config.traffic.host, config.traffic.port if port is None else port)
        self._stack.push_async_callback(self._end_workers)
        await self._first_workers()
        self._stack.push_async_callback(self._background.stop)
        for number in self._numbers:
            self._background.start(f"worker {number}", functools.partial(self._keep, number))
        self._background.start("metrics of workers", self._look)
        self._background.start("revocations", self.revocations.watch)
        self._background.start(
            "audit", functools.partial(build.watch_audit, config, self.audit, self.instruments, self._at_rest)
        )
        await self._open_admin(admin_host or config.admin.host, config.admin.port if admin_port is None else admin_port)
        return self

    async def close(self) -> None:
        """Stop listening, let the workers end what is open, write the last record."""
        self._is_ending = True
        await self._stack.aclose()

    def _share(self, host: str, port: int) -> None:
        config, count = self.settings.sidecar, len(self._numbers)
        traffic, forward = Listeners(host, port, count), None
        self.url = f"{'https' if config.tls else 'http'}://{host}:{traffic.port}"
        if config.forward_auth:
            forward = Listeners(config.forward_auth.host, config.forward_auth.port, count)
            self.forward_url = f"http://{config.forward_auth.host}:{forward.port}{config.forward_auth.path}"
        self._shared = Shared(self.settings, traffic, forward)

    async def _first_workers(self) -> None:
        started = await asyncio.gather(*(self._start(number) for number in self._numbers), return_exceptions=True)
        failed = [error for error in started if isinstance(error, BaseException)]
        if failed:
            raise OSError("not every worker could start") from failed[0]

    async def _open_admin(self, host: str, port: int) -> None:
        app, guard = web.Application(), AdminGuard(lambda: self.settings.sidecar.admin.token_file)
        setup_admin(
            app, registry=self.registry, instruments=self.instruments, reloader=self.reloader,
            is_ready=lambda: len(self._workers) == len(self._numbers)
            and all(worker.is_ready for worker in self._workers.values()),
            before_metrics=self._ask_for_metrics, refuses=guard.refuses, has_exemplars=tracing_settings.is_wanted(),
        )  # fmt: skip
        RevocationPages(self.revocations, self.audit, guard, self._spread_revocations).setup(app)
        server = await serve(app, host, port)
        self._stack.push_async_callback(server.close)
        self.admin_url = server.url

    def _at_rest(self) -> Iterable[str]:
        """Return the chains that no worker verifies."""
        chains = audit_chain.chains(self.settings.sidecar.audit.folder)
        return [name for name in chains if not (name.isdigit() and int(name) in self._numbers)]

    # Workers

    async def _start(self, number: int) -> None:
        """Start a worker and wait until it answers; raises OSError, and then there is none."""
        worker = await WorkerProcess.born(self._shared.birth(number, self.settings))
        self._workers[number] = worker
        try:
            await self._take_metrics(number, worker, START_SECONDS)
        except BaseException:
            self._workers.pop(number, None)
            await worker.ended(0)
            raise

    async def _keep(self, number: int) -> None:
        """Put another worker into the place of one that has died, until cancelled."""
        wait = 0.0
        while True:
            began, worker = time.monotonic(), self._workers.get(number)
            if worker:
                await self._died(number, worker, await worker.process.wait())
            is_quick = time.monotonic() - began <= QUICK_SECONDS
            wait = min(wait * 2 + FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS) if is_quick else 0.0
            if wait > FIRST_WAIT_SECONDS:
                self._shared.withdraw(number)
            await asyncio.sleep(wait)
            try:
                await self._start(number)
            except OSError as error:
                logger.error("a worker could not start", extra={"worker": number, "problem": str(error)})

    async def _died(self, number: int, worker: WorkerProcess, code: int) -> None:
        self._workers.pop(number, None)
        await worker.ended(0)
        if self._is_ending:
            return
        self._metrics.ended(str(number))
        self._deaths.inc()
        self._count.set(len(self._workers))
        logger.error("a worker has died", extra={"worker": number, "exit_code": code})
        fields = {"event": AuditEvent.ADMIN, "action": "worker_died", "worker": number, "code": code}
        await self.audit.append(AuditEvent.ADMIN, audit_chain.fragment(fields))

    async def _end_workers(self) -> None:
        # A socket that is still open here would go on taking connections that nobody answers.
        self._shared.close()
        drain = self.settings.sidecar.drain + END_SECONDS
        for worker in self._workers.values():
            worker.terminate()
        await asyncio.gather(*(worker.ended(drain) for worker in self._workers.values()))

    # Metrics, reload, revocations

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._ask_for_metrics()

    async def _ask_for_metrics(self) -> None:
        async def one(number: int, worker: WorkerProcess) -> None:
            try:
                await self._take_metrics(number, worker, ANSWER_SECONDS)
            except OSError:
                worker.missed()

        await asyncio.gather(*(one(*pair) for pair in list(self._workers.items())))

    async def _take_metrics(self, number: int, worker: WorkerProcess, seconds: float) -> None:
        worker.is_ready, taken = await worker.ask("metrics", seconds=seconds)
        worker.misses = 0
        if self._workers.get(number) is worker:
            self._metrics.keep(str(number), taken)
            self._count.set(len(self._workers))

    async def _apply(self, settings: Settings) -> None:
        """Hand a new configuration to all workers; when one refuses, all go back to the one before."""
        refused = await self._hand_out(settings)
        if refused:
            for number in await self._hand_out(self.settings):
                # Its successor starts with what is in force.
                logger.error("a worker did not go back to the configuration in force", extra={"worker": number})
                if number in self._workers:
                    self._workers[number].kill()
            raise ConfigError(
                Problem(f"worker {number}", 0, "", message, "see the log")
                for number, messages in refused.items()
                for message in messages
            )

    async def _hand_out(self, settings: Settings) -> dict[int, list[str]]:
        """Return, by worker, what keeps it from using a configuration; one that was replaced meanwhile may not know."""
        packed, asked = base64.b64encode(pickle.dumps(settings)).decode(), {**self._workers}
        found = await self._ask_all("use", packed, START_SECONDS)
        for number in self._numbers:
            if self._workers.get(number) is not asked.get(number):
                found[number] = "gives no answer: it was replaced meanwhile"
        problems = {number: [told] if isinstance(told, str) else told for number, told in found.items()}
        return {number: told for number, told in problems.items() if told}

    async def _spread_revocations(self) -> bool:
        """Let all workers read the revocations; whether they have."""
        return all(answer is True for answer in (await self._ask_all("revocations", None, 5.0)).values())

    async def _ask_all(self, question: str, about: object, seconds: float) -> dict[int, Any]:
        """Return all answers by worker; text is why there is none."""

        async def one(number: int) -> Any:
            if number not in self._workers:
                return "gives no answer: it is being replaced"
            try:
                return await self._workers[number].ask(question, about, seconds)
            except OSError as error:
                return f"gives no answer: {type(error).__name__}"

        return dict(zip(self._numbers, await asyncio.gather(*map(one, self._numbers)), strict=True))
