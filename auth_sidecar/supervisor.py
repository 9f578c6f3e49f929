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
import socket
import sys
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry

from auth_sidecar import audit_chain, build
from auth_sidecar.admin import AdminGuard, RevocationPages
from auth_sidecar.config import Settings, load
from auth_sidecar.control import Questions
from auth_sidecar.merged_metrics import MergedMetrics
from auth_sidecar.place import Shared, listeners
from auth_sidecar.revocation import Revocations
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
MOST_MISSES = 6
"""Times in a row that a worker may not do so; then it is held to hang, and another takes its place."""
QUICK_SECONDS = 10.0
"""A worker that lives shorter than this has its successor wait."""
LONGEST_WAIT_SECONDS = 30.0
END_SECONDS = 5.0
"""How long a worker may take to end beyond the time that open requests have."""


class Worker:
    """A running worker process."""

    def __init__(self, process: asyncio.subprocess.Process, questions: Questions) -> None:
        self.process = process
        self.questions = questions
        self.is_ready = False
        self.misses = 0

    async def ask(self, question: str, about: object = None, seconds: float = 10.0) -> Any:
        """Return its answer; raises OSError."""
        return await self.questions.ask(question, about, seconds)

    def missed(self) -> None:
        """Note that it did not tell its metrics, and end it when that happens too often."""
        self.is_ready = False
        self.misses += 1
        if self.misses >= MOST_MISSES and self.process.returncode is None:
            logger.error("a worker hangs and is ended", extra={"pid": self.process.pid})
            self.process.kill()


class Supervisor:
    """A started sidecar of several workers; to others it is what `app.Sidecar` is."""

    def __init__(self, config_file: Path, registry: CollectorRegistry) -> None:
        """Read the configuration; raises ConfigError when it is not usable."""
        self.instruments = Instruments(registry, "sidecar")
        self.reloader = Reloader(functools.partial(load, config_file), self.instruments, self._apply)
        self.registry = CollectorRegistry()
        self._metrics = MergedMetrics(registry)
        self.registry.register(self._metrics)
        self._deaths = self.instruments.counter("mcp_sidecar_worker_deaths_total")
        self._count = self.instruments.gauge("mcp_sidecar_workers")
        self._workers: dict[int, Worker] = {}
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
        for number, worker in zip(self._numbers, await self._first_workers(), strict=True):
            self._background(self._keep(number, worker))
        self._background(self._look())
        self._background(self.revocations.watch())
        self._background(build.watch_audit(config, self.audit, self.instruments, self._at_rest))
        await self._open_admin(admin_host or config.admin.host, config.admin.port if admin_port is None else admin_port)
        return self

    async def close(self) -> None:
        """Stop listening, let the workers end what is open, write the last record."""
        self._is_ending = True
        await self._stack.aclose()

    def _share(self, host: str, port: int) -> None:
        config, count = self.settings.sidecar, len(self._numbers)
        traffic, forward = listeners(host, port, count), list[socket.socket]()
        self.url = f"{'https' if config.tls else 'http'}://{host}:{traffic[0].getsockname()[1]}"
        if config.forward_auth:
            forward = listeners(config.forward_auth.host, config.forward_auth.port, count)
            port = forward[0].getsockname()[1]
            self.forward_url = f"http://{config.forward_auth.host}:{port}{config.forward_auth.path}"
        self._shared = Shared(self.settings, traffic, forward)

    async def _first_workers(self) -> list[Worker]:
        started = await asyncio.gather(*(self._start(number) for number in self._numbers), return_exceptions=True)
        failed = [error for error in started if isinstance(error, BaseException)]
        if failed:
            raise OSError("not every worker could start") from failed[0]
        return [worker for worker in started if isinstance(worker, Worker)]

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

    def _background(self, work: Any) -> None:
        task = asyncio.ensure_future(work)

        async def end() -> None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        self._stack.push_async_callback(end)

    def _at_rest(self) -> Iterable[str]:
        """Return the chains that no worker verifies."""
        chains = audit_chain.chains(self.settings.sidecar.audit.folder)
        return [name for name in chains if not (name.isdigit() and int(name) in self._numbers)]

    # Workers

    async def _start(self, number: int) -> Worker:
        """Start a worker and wait until it answers; raises OSError."""
        ours, theirs = socket.socketpair()
        birth = self._shared.birth(number, self.settings)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "auth_sidecar.worker", str(theirs.fileno()),
                pass_fds=(theirs.fileno(), *birth.files),
            )  # fmt: skip
        await asyncio.to_thread(birth.send, ours)
        ours.setblocking(False)
        worker = self._workers[number] = Worker(process, await Questions.over(ours))
        await self._take_metrics(number, worker, START_SECONDS)
        return worker

    async def _keep(self, number: int, worker: Worker) -> None:
        """Put another worker into the place of one that has died, until cancelled."""
        wait = 0.0
        while True:
            began = time.monotonic()
            code = await worker.process.wait()
            await self._died(number, worker, code)
            wait = 0.0 if time.monotonic() - began > QUICK_SECONDS else min(wait * 2 + 0.5, LONGEST_WAIT_SECONDS)
            await asyncio.sleep(wait)
            try:
                worker = await self._start(number)
            except OSError as error:
                logger.error("a worker could not start", extra={"worker": number, "problem": str(error)})
                worker = self._workers.pop(number, worker)
                await _ended(worker.process, 0)

    async def _died(self, number: int, worker: Worker, code: int) -> None:
        self._workers.pop(number, None)
        await worker.questions.close()
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
            with suppress(ProcessLookupError):
                worker.process.terminate()
        await asyncio.gather(*(_ended(worker.process, drain) for worker in self._workers.values()))
        await asyncio.gather(*(worker.questions.close() for worker in self._workers.values()))

    # Metrics, reload, revocations

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._ask_for_metrics()

    async def _ask_for_metrics(self) -> None:
        async def one(number: int, worker: Worker) -> None:
            try:
                await self._take_metrics(number, worker, ANSWER_SECONDS)
            except OSError:
                worker.missed()

        await asyncio.gather(*(one(*pair) for pair in list(self._workers.items())))

    async def _take_metrics(self, number: int, worker: Worker, seconds: float) -> None:
        worker.is_ready, taken = await worker.ask("metrics", seconds=seconds)
        worker.misses = 0
        if self._workers.get(number) is worker:
            self._metrics.keep(str(number), taken)
            self._count.set(len(self._workers))

    async def _apply(self, settings: Settings) -> None:
        """Hand a new configuration to all workers; when one refuses, all go back to the one before."""
        problems = await self._hand_out(settings)
        if problems:
            await self._hand_out(self.settings)
            raise ConfigError(problems)

    async def _hand_out(self, settings: Settings) -> list[Problem]:
        packed = base64.b64encode(pickle.dumps(settings)).decode()
        found = await self._ask_all("use", packed, START_SECONDS)
        return [
            Problem(f"worker {number}", 0, "", message, "see the log")
            for number, messages in found.items()
            for message in ([messages] if isinstance(messages, str) else messages)
        ]

    async def _spread_revocations(self) -> bool:
        """Let all workers read the revocations; whether they have."""
        return all(answer is True for answer in (await self._ask_all("revocations", None, 5.0)).values())

    async def _ask_all(self, question: str, about: object, seconds: float) -> dict[int, Any]:
        """Return all answers by worker; text is why there is none."""

        async def one(number: int) -> Any:
            try:
                return await self._workers[number].ask(question, about, seconds)
            except (OSError, KeyError) as error:
                return f"gives no answer: {type(error).__name__}"

        return dict(zip(self._numbers, await asyncio.gather(*map(one, self._numbers)), strict=True))


async def _ended(process: asyncio.subprocess.Process, seconds: float) -> None:
    """Wait so long for a process to end, then kill it."""
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
