"""The running sidecar: built from a configuration, two ports, and new configurations put into force while it runs."""

import asyncio
import functools
import logging
import ssl
import time
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry

from auth_sidecar import audit_chain, build
from auth_sidecar.admin import AdminGuard, RevocationPages
from auth_sidecar.background import Background
from auth_sidecar.config import Settings, SidecarConfig, load
from auth_sidecar.config_identity import Issuer
from auth_sidecar.config_ports import ForwardAuth
from auth_sidecar.decision import Rules
from auth_sidecar.forward_auth import ForwardAuthEndpoint
from auth_sidecar.gate import Gate
from auth_sidecar.key_source import KeySource
from auth_sidecar.lean_http import LeanServer
from auth_sidecar.limits import Lockout, RateLimit
from auth_sidecar.operation_metrics import OperationMetrics
from auth_sidecar.place import Place
from auth_sidecar.prompt_server import PromptServer
from auth_sidecar.proxy import Proxy
from auth_sidecar.rbac import NO_ROLE
from auth_sidecar.revocation import Revocations
from auth_sidecar.sessions import SessionBinding
from auth_sidecar.token_cache import TokenCache
from contract.config import ConfigError, Loaded, Problem
from contract.instruments import DEFAULT_CAP, Instruments
from contract.tracing import Tracer
from contract.web import Reloader, Server, serve, setup_admin

logger = logging.getLogger(__name__)

FIRST_KEYS_SECONDS = 5.0
"""How long the start waits for the first keys before it goes on without."""


class Sidecar:
    """A started sidecar: `.url` for traffic, `.admin_url` for metrics and reload, `close()` drains and ends."""

    def __init__(
        self,
        config_file: Path,
        registry: CollectorRegistry,
        place: Place | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        """Read the configuration, or take that of a worker's place; raises ConfigError when it is not usable."""
        self.place = place
        self.tracer = tracer
        self._file = config_file
        self._running: SidecarConfig | None = None
        settings = self._read().config
        known = {
            "role": (*settings.policy.roles, NO_ROLE),
            "issuer": tuple(issuer.name for issuer in settings.sidecar.issuers),
        }
        cap = max(DEFAULT_CAP, 70 * (len(settings.policy.roles) + 1))
        self.instruments = Instruments(registry, "sidecar", known=known, cap=cap)
        if tracer:
            tracer.outlet.count_on(self.instruments)
        self.registry = registry
        self.reloader = Reloader(self._read, self.instruments, self._apply)
        self._running = self.settings.sidecar
        self.chain = str(place.number) if place else audit_chain.MAIN
        self._stack = AsyncExitStack()
        self._background = Background(self.instruments)
        self._is_ready = False
        self._tls: ssl.SSLContext | None = None
        self.url = self.admin_url = self.forward_url = ""
        self.forward: ForwardAuthEndpoint | None = None

    @property
    def is_ready(self) -> bool:
        """Whether requests are answered and tokens can be checked."""
        return self._is_ready and all(source.current() for source in self.sources.values())

    @property
    def settings(self) -> Settings:
        """The configuration in force."""
        return self.reloader.current

    def _read(self) -> Loaded[Settings]:
        return self.place.read() if self.place else load(self._file, self._running)

    async def start(
        self, *, host: str | None = None, port: int | None = None, admin_host: str | None = None,
        admin_port: int | None = None,
    ) -> "Sidecar":  # fmt: skip
        """Open the audit log and both ports; arguments win over the configuration. Raises OSError."""
        config, place = self.settings.sidecar, self.place
        self.audit = build.audit_log(config, self.instruments, self.chain)
        self.audit.open()
        self._stack.push_async_callback(self.audit.close)
        if place is None:
            await build.tidy_chains_at_rest(config, self.instruments, {self.chain})
        self._sessions = await self._stack.enter_async_context(aiohttp.ClientSession())
        self._upstream = await self._stack.enter_async_context(build.upstream_session(config))
        self.cache = TokenCache(time.time, config.limits.cached_tokens)
        self.lockout = Lockout(
            build.lockout_rules(config), self.instruments, time.monotonic, place.lockouts if place else None
        )
        self.revocations = Revocations(config.revocations_file, self.instruments, self.cache.clear)
        self.revocations.check()
        self.sources = {issuer.name: self._source(issuer) for issuer in config.issuers}
        self.gate = Gate(
            self._rules(self.settings, self.sources), sources=self.sources, cache=self.cache, lockout=self.lockout,
            rate=RateLimit(build.rate_rules(config), time.monotonic, place.rates if place else None),
            revocations=self.revocations, audit=self.audit, instruments=self.instruments, tracer=self.tracer,
        )  # fmt: skip
        operations = OperationMetrics(self.instruments, self.tracer)
        self.proxy = Proxy(
            self.gate, self._upstream, operations, answers=build.answers(config),
            sessions=SessionBinding(config.audit.key_file.read().encode()), limits=config.limits,
            upstream=config.upstream,
        )  # fmt: skip
        await self._first_keys(self.sources)
        self._start_tasks(config)
        self._stack.push_async_callback(self._background.stop)
        if place is None:
            await self._open_admin(admin_host or config.admin.host, _first(admin_port, config.admin.port))
        await self._open_traffic(host or config.traffic.host, _first(port, config.traffic.port))
        if config.forward_auth:
            await self._open_forward_auth(config.forward_auth)
        self._is_ready = True
        return self

    async def close(self) -> None:
        """Stop listening, let open requests end, write the last record."""
        self._is_ready = False
        await self._stack.aclose()

    async def _open_traffic(self, host: str, port: int) -> None:
        limits, drain = self.settings.sidecar.limits, self.settings.sidecar.drain
        server = PromptServer(
            self.proxy.handle, self.proxy.malformed,
            handler_cancellation=True, access_log=None, auto_decompress=False,
            max_line_size=limits.header_bytes, max_field_size=limits.header_bytes,
        )  # fmt: skip
        runner = web.ServerRunner(server, shutdown_timeout=drain)
        await runner.setup()
        self._stack.push_async_callback(self.proxy.close)
        self._stack.push_async_callback(runner.cleanup)
        context = self._tls = build.tls_context(self.settings.sidecar)
        self._authorities = build.authorities(self.settings.sidecar)
        if self.place:
            await web.SockSite(runner, self.place.traffic, ssl_context=context, backlog=1024).start()
        else:
            await web.TCPSite(runner, host, port, ssl_context=context, backlog=1024).start()
        self.url = f"{'https' if context else 'http'}://{host}:{runner.addresses[0][1]}"

    async def _open_admin(self, host: str, port: int) -> None:
        app, guard = web.Application(), AdminGuard(lambda: self.settings.sidecar.admin.token_file)
        setup_admin(
            app, registry=self.registry, instruments=self.instruments, reloader=self.reloader,
            is_ready=lambda: self.is_ready, refuses=guard.refuses, has_exemplars=self.tracer is not None,
        )  # fmt: skip
        RevocationPages(self.revocations, self.audit, guard).setup(app)
        server: Server = await serve(app, host, port)
        self._stack.push_async_callback(server.close)
        self.admin_url = server.url

    async def _open_forward_auth(self, config: ForwardAuth) -> None:
        settings = self.settings.sidecar
        self.forward = ForwardAuthEndpoint(self.gate, config, build.answers(settings))
        server = LeanServer(self.forward.handle, self.forward.malformed, settings.limits.header_bytes)
        await server.start(config.host, config.port, self.place.forward if self.place else None)
        self._stack.push_async_callback(server.close, settings.drain)
        self.forward_url = server.url + config.path

    def _source(self, issuer: Issuer) -> KeySource:
        source = KeySource(
            issuer.name, build.fetch(issuer, self._sessions), self.instruments,
            ttl_seconds=issuer.ttl, refetch_seconds=issuer.refetch_interval, max_stale_seconds=issuer.max_stale,
        )  # fmt: skip
        source.on_change(self.cache.clear)
        return source

    async def _first_keys(self, sources: Mapping[str, KeySource]) -> None:
        """Fetch keys where there are none yet; that is waited for, but not for ever."""
        first = [asyncio.ensure_future(source.refresh()) for source in sources.values() if not source.current()]
        if first:
            await asyncio.wait(first, timeout=FIRST_KEYS_SECONDS)

    def _start_tasks(self, config: SidecarConfig) -> None:
        for name, source in self.sources.items():
            self._background.start(f"keys of {name}", source.keep_fresh)
        self._background.start(
            "audit", functools.partial(build.watch_audit, config, self.audit, self.instruments, self._watched)
        )
        self._background.start("revocations", self.revocations.watch)

    def _watched(self) -> Iterable[str]:
        """Return the chains to be verified: a worker's own, else all, for some may be at rest."""
        return (self.chain,) if self.place else audit_chain.chains(self.settings.sidecar.audit.folder)

    def _rules(self, settings: Settings, sources: Mapping[str, KeySource]) -> Rules:
        return build.rules(settings, {name: source.current for name, source in sources.items()}, self.instruments)

    async def _apply(self, settings: Settings) -> None:
        """Put a new configuration into force; open requests and streams go on as they began."""
        config = settings.sidecar
        # What can fail comes first; an issuer that is as before keeps its keys, even while it is down.
        same = [issuer for issuer in config.issuers if issuer in self.settings.sidecar.issuers]
        sources = {
            issuer.name: self.sources[issuer.name] if issuer in same else self._source(issuer)
            for issuer in config.issuers
        }
        rules = self._rules(settings, sources)
        if self._tls:
            if build.authorities(config) != self._authorities:
                where = "tls.client_ca_file"
                raise ConfigError([Problem(str(self._file), 1, where, "other authorities need a restart", "restart")])
            build.load_certificate(self._tls, config)
        await self._first_keys(sources)
        await self._background.stop()
        self.sources = sources
        self._start_tasks(config)
        self.lockout.rules, self.gate.rate.rules = build.lockout_rules(config), build.rate_rules(config)
        self.gate.sources = self.sources
        self.gate.rules = rules
        self.cache.clear()
        self.proxy.answers = build.answers(config)
        if self.forward:
            self.forward.use(self.proxy.answers)
        self.proxy.limits, self.proxy.upstream = config.limits, config.upstream


def _first(given: int | None, configured: int) -> int:
    return configured if given is None else given
