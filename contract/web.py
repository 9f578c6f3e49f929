"""What every service's HTTP side shares: a server that knows its URL, metrics, health, reload and a clean end."""

import asyncio
import gzip
import logging
import re
import signal
import ssl
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Generic, TypeVar

import uvloop
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from contract.config import ConfigError, Loaded, Model, Problem
from contract.instruments import Instruments

logger = logging.getLogger(__name__)

C = TypeVar("C", bound=Model)

OPEN_METRICS = "application/openmetrics-text"
GZIP_FROM_BYTES = 4096
"""Answers below this size are sent as they are."""


class Server:
    """A listening HTTP server; `close()` stops listening and lets open requests end."""

    def __init__(self, runner: web.AppRunner, host: str, port: int, scheme: str) -> None:
        self._runner = runner
        self.host = host
        self.port = port
        self.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    async def close(self) -> None:
        """Stop listening, drain open requests for the runner's shutdown time-out, release everything."""
        await self._runner.cleanup()


async def serve(
    app: web.Application,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    ssl_context: ssl.SSLContext | None = None,
    drain_seconds: float = 5.0,
    handler_cancellation: bool = False,
) -> Server:
    """Start an application and return its server; port 0 takes a free one.

    Raises OSError when the address cannot be bound.
    """
    runner = web.AppRunner(
        app, access_log=None, handler_cancellation=handler_cancellation, shutdown_timeout=drain_seconds
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=ssl_context).start()
    except OSError:
        await runner.cleanup()
        raise
    return Server(runner, host, runner.addresses[0][1], "https" if ssl_context else "http")


class Reloader(Generic[C]):
    """Holds the running configuration and replaces it only by a good one."""

    def __init__(
        self,
        load: Callable[[], Loaded[C]],
        instruments: Instruments,
        apply: Callable[[C], Awaitable[None]] | None = None,
    ) -> None:
        """Load the first configuration; raises ConfigError when it is not usable."""
        self._load = load
        self._apply = apply
        self._lock = asyncio.Lock()
        self._succeeded = instruments.gauge("mcp_config_last_reload_successful").labels(instruments.service)
        self._when = instruments.gauge("mcp_config_last_reload_success_timestamp_seconds").labels(instruments.service)
        self.current = self._read()
        self._note(True)

    def on_change(self, apply: Callable[[C], Awaitable[None]]) -> None:
        """Set what puts a new configuration into force; when it raises, the old one stays."""
        self._apply = apply

    async def reload(self) -> tuple[Problem, ...]:
        """Read the configuration again; on any problem keep the running one and return the problems."""
        async with self._lock:
            try:
                fresh = await asyncio.to_thread(self._read)
                if self._apply:
                    await self._apply(fresh)
            except ConfigError as error:
                self._note(False)
                logger.error("configuration refused, the running one stays", extra={"problems": str(error).split("\n")})
                return error.problems
            except Exception as error:
                self._note(False)
                logger.exception("configuration could not be put into force, the running one stays")
                return (Problem("", 0, "", f"could not be put into force: {error}", "see the log"),)
            self.current = fresh
            self._note(True)
            logger.info("configuration reloaded")
            return ()

    def _read(self) -> C:
        loaded = self._load()
        for warning in loaded.warnings:
            logger.warning("questionable configuration", extra={"problem": str(warning)})
        return loaded.config

    def _note(self, succeeded: bool) -> None:
        self._succeeded.set(succeeded)
        if succeeded:
            self._when.set_to_current_time()


def setup_admin(
    app: web.Application,
    *,
    registry: CollectorRegistry,
    instruments: Instruments,
    is_ready: Callable[[], bool],
    problem: Callable[[], str] = lambda: "",
    reloader: Reloader[C] | None = None,
    extra_metrics: Callable[[], bytes] | None = None,
    before_metrics: Callable[[], Awaitable[None]] | None = None,
    refuses: Callable[[web.BaseRequest], web.Response | None] | None = None,
    has_exemplars: bool = False,
) -> None:
    """Add /metrics, /-/healthy, /-/ready and POST /-/reload to an application.

    `problem` says in a line what keeps a service that was ready from being so. `extra_metrics` returns text exposition
    of families that are not on the registry; `before_metrics` is awaited first; `refuses` says who may not reload.
    With `has_exemplars` a scraper that asks for it gets OpenMetrics, which has them.
    """
    instruments.gauge("mcp_build_info").labels(instruments.service, release()).set(1)
    instruments.counter("mcp_trace_spans_total")  # at 0 while tracing is off

    async def metrics(request: web.Request) -> web.Response:
        if before_metrics:
            await before_metrics()
        extra = extra_metrics() if extra_metrics else b""
        if has_exemplars and OPEN_METRICS in request.headers.get("Accept", ""):
            return exposition(request, open_metrics(registry, extra), openmetrics.CONTENT_TYPE_LATEST)
        return exposition(request, generate_latest(registry) + extra)

    async def healthy(_request: web.Request) -> web.Response:
        return web.Response(text="healthy\n")

    async def ready(_request: web.Request) -> web.Response:
        reason = problem() or ("" if is_ready() else "not ready")
        return web.Response(text=f"{reason}\n", status=503) if reason else web.Response(text="ready\n")

    app.router.add_get("/metrics", metrics)
    app.router.add_get("/-/healthy", healthy)
    app.router.add_get("/-/ready", ready)
    if reloader:
        app.router.add_post("/-/reload", _reload_handler(reloader, refuses))


def _reload_handler(
    reloader: Reloader[C], refuses: Callable[[web.BaseRequest], web.Response | None] | None
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def reload(request: web.Request) -> web.Response:
        if request.headers.get("Origin") or request.headers.get("Sec-Fetch-Site", "none") != "none":
            # A page that a browser shows could send this POST to a loopback port; people and Prometheus' tools do not.
            return web.Response(status=403, text="not from a browser\n")
        refusal = refuses(request) if refuses else None
        if refusal is not None:
            return refusal
        problems = await reloader.reload()
        if problems:
            return web.Response(status=500, text="".join(f"{problem}\n" for problem in problems))
        return web.Response(text="reloaded\n")

    return reload


def open_metrics(registry: CollectorRegistry, extra: bytes = b"") -> bytes:
    """Return a registry as OpenMetrics 1.0, exemplars included, and families of the text format with it."""
    own: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
    end = b"# EOF\n"
    # There a counter's family is named without the suffix that its samples have.
    return own.removesuffix(end) + re.sub(rb"(?m)^(# (?:HELP|TYPE) \S+)_total ", rb"\1 ", extra) + end


def exposition(request: web.Request, body: bytes, content_type: str = CONTENT_TYPE_LATEST) -> web.Response:
    """Return text exposition with the Content-Type that Prometheus 3 insists on, compressed when that is wanted."""
    headers = {"Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
    if len(body) >= GZIP_FROM_BYTES and "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        body = gzip.compress(body, compresslevel=1)
    return web.Response(body=body, headers=headers)


def release() -> str:
    """Return the installed version of MCP Lookout."""
    try:
        return version("mcp-lookout")
    except PackageNotFoundError:
        return "unknown"


def run(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run a service on uvloop until SIGTERM or SIGINT sets the event it was given."""

    async def supervised() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await main(stop)

    uvloop.run(supervised())


def on_hangup(reload: Callable[[], Awaitable[object]]) -> None:
    """Call `reload` at every SIGHUP from now on; needs the running loop of the main thread."""
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[object]] = set()

    async def call() -> object:
        return await reload()

    def start() -> None:
        task = asyncio.ensure_future(call())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    loop.add_signal_handler(signal.SIGHUP, start)
