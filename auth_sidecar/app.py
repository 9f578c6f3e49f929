"""The running sidecar: built from a configuration, two ports, and new configurations put into force while it runs."""

import asyncio
import functools
import logging
import ssl
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry

from auth_sidecar import rbac
from auth_sidecar.answers import Answers
from auth_sidecar.audit_log import AuditLog, Rotation
from auth_sidecar.config import Claims, ForwardAuth, Issuer, Route, Settings, SidecarConfig, load
from auth_sidecar.decision import Endpoint, Rules
from auth_sidecar.forward_auth import ForwardAuthEndpoint
from auth_sidecar.gate import Gate
from auth_sidecar.key_source import Fetch, KeySource, from_discovery, from_file, from_url
from auth_sidecar.lean_http import LeanServer
from auth_sidecar.limits import Lockout, LockoutRules
from auth_sidecar.operation_metrics import OperationMetrics
from auth_sidecar.operations import OperationMap
from auth_sidecar.principal import ClaimMapping
from auth_sidecar.proxy import Proxy
from auth_sidecar.rbac import NO_ROLE
from auth_sidecar.sessions import SessionBinding
from auth_sidecar.token_cache import TokenCache
from auth_sidecar.tokens import IssuerRules, TokenVerifier, canonical_audience
from contract.metrics import DEFAULT_CAP, Instruments
from contract.web import Reloader, Server, serve, setup_admin

logger = logging.getLogger(__name__)

UPSTREAM_KEEPALIVE_SECONDS = 3.0
"""Shorter than any server's own, so that a request is never sent into a connection that is just being closed."""
FIRST_KEYS_SECONDS = 5.0
"""How long the start waits for the first keys before it goes on without."""


class Sidecar:
    """A started sidecar: `.url` for traffic, `.admin_url` for metrics and reload, `close()` drains and ends."""

    def __init__(self, config_file: Path, registry: CollectorRegistry) -> None:
        """Read the configuration; raises ConfigError when it is not usable."""
        settings = load(config_file).config
        known = {
            "role": (*settings.policy.roles, NO_ROLE),
            "issuer": tuple(issuer.name for issuer in settings.sidecar.issuers),
        }
        cap = max(DEFAULT_CAP, 70 * (len(settings.policy.roles) + 1))
        self.instruments = Instruments(registry, "sidecar", known=known, cap=cap)
        self.registry = registry
        self.reloader = Reloader(functools.partial(load, config_file), self.instruments, self._apply)
        self._stack = AsyncExitStack()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._is_ready = False
        self.url = self.admin_url = self.forward_url = ""
        self.forward: ForwardAuthEndpoint | None = None

    @property
    def settings(self) -> Settings:
        """The configuration in force."""
        return self.reloader.current

    async def start(
        self, *, host: str | None = None, port: int | None = None, admin_host: str | None = None,
        admin_port: int | None = None,
    ) -> "Sidecar":  # fmt: skip
        """Open the audit log and both ports; arguments win over the configuration. Raises OSError."""
        config = self.settings.sidecar
        self.audit = await self._open_audit(config)
        self._sessions = await self._stack.enter_async_context(aiohttp.ClientSession())
        self._upstream = await self._stack.enter_async_context(upstream_session(config))
        self.cache = TokenCache(time.time, config.limits.cached_tokens)
        self.lockout = Lockout(lockout_rules(config), self.instruments, time.monotonic)
        self.sources = {issuer.name: self._source(issuer) for issuer in config.issuers}
        self.gate = Gate(
            self._rules(self.settings), sources=self.sources, cache=self.cache, lockout=self.lockout,
            audit=self.audit, instruments=self.instruments,
        )  # fmt: skip
        self.proxy = Proxy(
            self.gate, self._upstream, OperationMetrics(self.instruments), endpoints=endpoints(config),
            answers=answers(config), sessions=SessionBinding(config.audit.key_file.read().encode()),
            limits=config.limits, upstream=config.upstream,
        )  # fmt: skip
        await self._watch_keys()
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

    async def _open_audit(self, config: SidecarConfig) -> AuditLog:
        audit = config.audit
        keys = [file.read().encode() for file in (audit.key_file, *audit.previous_key_files)]
        log = AuditLog(
            audit.folder, keys, self.instruments, durability=audit.durability, clock=time.time,
            rotation=Rotation(audit.max_segment_bytes, audit.max_segment_age, audit.retention),
        )  # fmt: skip
        log.open()
        self._stack.push_async_callback(log.close)
        return log

    async def _open_traffic(self, host: str, port: int) -> None:
        limits, drain = self.settings.sidecar.limits, self.settings.sidecar.drain
        server = web.Server(
            self.proxy.handle,
            handler_cancellation=True, access_log=None, auto_decompress=False,
            max_line_size=limits.header_bytes, max_field_size=limits.header_bytes,
        )  # fmt: skip
        runner = web.ServerRunner(server, shutdown_timeout=drain)
        await runner.setup()
        self._stack.push_async_callback(self.proxy.close)
        self._stack.push_async_callback(runner.cleanup)
        context: ssl.SSLContext | None = None
        await web.TCPSite(runner, host, port, ssl_context=context, backlog=1024).start()
        self.url = f"http://{host}:{runner.addresses[0][1]}"

    async def _open_admin(self, host: str, port: int) -> None:
        app = web.Application()
        setup_admin(
            app, registry=self.registry, instruments=self.instruments, reloader=self.reloader,
            is_ready=lambda: self._is_ready and all(source.current() for source in self.sources.values()),
        )  # fmt: skip
        server: Server = await serve(app, host, port)
        self._stack.push_async_callback(server.close)
        self.admin_url = server.url

    async def _open_forward_auth(self, config: ForwardAuth) -> None:
        settings = self.settings.sidecar
        self.forward = ForwardAuthEndpoint(self.gate, config, endpoints=endpoints(settings), answers=answers(settings))
        server = await LeanServer(self.forward.handle, settings.limits.header_bytes).start(config.host, config.port)
        self._stack.push_async_callback(server.close, settings.drain)
        self.forward_url = server.url + config.path

    def _source(self, issuer: Issuer) -> KeySource:
        source = KeySource(
            issuer.name, self._fetch(issuer), self.instruments,
            ttl_seconds=issuer.ttl, refetch_seconds=issuer.refetch_interval, max_stale_seconds=issuer.max_stale,
        )  # fmt: skip
        source.on_change(self.cache.clear)
        return source

    def _fetch(self, issuer: Issuer) -> Fetch:
        if issuer.jwks_file:
            return from_file(issuer.jwks_file)
        if issuer.jwks_url:
            return from_url(self._sessions, issuer.jwks_url)
        return from_discovery(self._sessions, issuer.issuer, allow_http=issuer.allow_http)

    async def _watch_keys(self) -> None:
        """Keep every issuer's keys fresh; the first fetch is waited for, but not for ever."""
        first = [asyncio.ensure_future(source.refresh()) for source in self.sources.values()]
        await asyncio.wait(first, timeout=FIRST_KEYS_SECONDS)
        for name, source in self.sources.items():
            self._tasks[name] = asyncio.ensure_future(source.keep_fresh())
        self._stack.push_async_callback(self._stop_tasks)

    async def _stop_tasks(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()

    def _rules(self, settings: Settings) -> Rules:
        config = settings.sidecar
        issuers = {issuer.issuer: issuer_rules(issuer, config, self.sources[issuer.name].current) for issuer in
                   config.issuers}  # fmt: skip
        return Rules(
            settings.policy, TokenVerifier(issuers, time.time),
            hosts=frozenset(host.lower() for host in config.resource.hosts),
            origins=rbac.glob(config.resource.origins) if config.resource.origins else None,
            scopes=config.operations.scopes, scope_includes=config.operations.scope_includes,
            allows_unaudited=config.audit.on_failure == "allow",
        )  # fmt: skip

    async def _apply(self, settings: Settings) -> None:
        """Put a new configuration into force; open requests and streams go on as they began."""
        config = settings.sidecar
        await self._stop_tasks()
        self.sources = {issuer.name: self._source(issuer) for issuer in config.issuers}
        await self._watch_keys()
        self.lockout.rules = lockout_rules(config)
        self.gate.sources = self.sources
        self.gate.rules = self._rules(settings)
        self.cache.clear()
        self.proxy.endpoints, self.proxy.answers = endpoints(config), answers(config)
        if self.forward:
            self.forward.use(self.proxy.endpoints, self.proxy.answers)
        self.proxy.limits, self.proxy.upstream = config.limits, config.upstream


def endpoints(config: SidecarConfig) -> dict[str, Endpoint]:
    """Return the protected endpoints by path."""
    return {route.path: _endpoint(route, config) for route in config.routes}


def answers(config: SidecarConfig) -> Answers:
    """Return what refusals and metadata look like."""
    servers = tuple(issuer.issuer for issuer in config.issuers)
    return Answers(config.resource.url, servers, config.resource.scopes_supported)


def upstream_session(config: SidecarConfig) -> aiohttp.ClientSession:
    """Return the session for servers behind: no limit on streams, nothing decompressed, no header of its own."""
    upstream = config.upstream
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=UPSTREAM_KEEPALIVE_SECONDS),
        timeout=aiohttp.ClientTimeout(
            total=None, sock_connect=upstream.connect_timeout, sock_read=upstream.idle_timeout or None
        ),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def issuer_rules(issuer: Issuer, config: SidecarConfig, keys: Callable[[], object]) -> IssuerRules:
    """Return what tokens of an issuer must be like."""
    return IssuerRules(
        name=issuer.name,
        issuer=issuer.issuer,
        audiences=frozenset(canonical_audience(audience) for audience in (config.resource.url, *issuer.audiences)),
        keys=keys,  # type: ignore[arg-type]
        algorithms=frozenset(issuer.algorithms),
        types=frozenset({"at+jwt"} if issuer.require_at_jwt else {"", "jwt", "at+jwt"}),
        required_claims=issuer.required_claims,
        leeway_seconds=issuer.leeway,
        max_age_seconds=issuer.max_token_age or float("inf"),
        mapping=claim_mapping(issuer.claims),
    )


def claim_mapping(claims: Claims) -> ClaimMapping:
    """Return the mapping in the form that the verifier uses."""
    return ClaimMapping(**{name: value for name, value in claims})


def lockout_rules(config: SidecarConfig) -> LockoutRules:
    """Return the lockout in the form that counts."""
    lockout = config.limits.lockout
    return LockoutRules(lockout.failures, lockout.window, lockout.duration, lockout.max_clients)


def _endpoint(route: Route, config: SidecarConfig) -> Endpoint:
    operations = config.operations
    tools = {**operations.tools, **route.tools}
    table = OperationMap(operations.all_methods(), tools, operations.prompts, operations.resources)
    return Endpoint(
        route.path,
        route.agent,
        route.agent_type,
        route.upstream,
        table,
        route.workflow,
        route.headers_are_validated,
        route.shadow,
        route.filter_lists,
    )


def _first(given: int | None, configured: int) -> int:
    return configured if given is None else given
