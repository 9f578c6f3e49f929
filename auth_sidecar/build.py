"""From configuration to the objects that decide; what serves, explains and checks is built by the same functions."""

import ssl
import time
from collections.abc import Callable, Collection, Iterable, Mapping

import aiohttp
from prometheus_client import CollectorRegistry

from auth_sidecar import audit_chain, rbac
from auth_sidecar.answers import Answers
from auth_sidecar.audit_log import AuditLog, Rotation
from auth_sidecar.audit_watch import AuditWatch, watch
from auth_sidecar.config import Route, Settings, SidecarConfig
from auth_sidecar.config_identity import Claims, Issuer
from auth_sidecar.decision import Endpoint, Rules
from auth_sidecar.encryption import AuditSealing, KeyRing
from auth_sidecar.identity import CredentialVerifier
from auth_sidecar.key_source import Fetch, from_discovery, from_file, from_url
from auth_sidecar.keys import KeySet
from auth_sidecar.limits import LockoutRules, RateRules
from auth_sidecar.operations import OperationMap
from auth_sidecar.principal import ClaimMapping
from auth_sidecar.tokens import IssuerRules, TokenVerifier, canonical_audience
from contract.instruments import Instruments

UPSTREAM_KEEPALIVE_SECONDS = 3.0
"""Shorter than any server's own, so that a request is never sent into a connection that is just being closed."""

Keys = Mapping[str, Callable[[], KeySet | None]]
"""What returns the keys in force, by the issuer's configured name."""


def rules(settings: Settings, keys: Keys, instruments: Instruments | None = None) -> Rules:
    """Return what decisions depend on; without instruments nothing is sealed, because nothing is recorded."""
    config = settings.sidecar
    issuers = {issuer.issuer: issuer_rules(issuer, config, keys[issuer.name]) for issuer in config.issuers}
    return Rules(
        settings.policy,
        endpoints(config),
        CredentialVerifier(TokenVerifier(issuers, time.time), [key.compiled() for key in config.api_keys], time.time),
        hosts=frozenset(host.lower() for host in config.resource.hosts),
        origins=rbac.glob(config.resource.origins) if config.resource.origins else None,
        scopes=config.operations.scopes,
        scope_includes=config.operations.scope_includes,
        certificates=tuple(rule.compiled() for rule in config.tls.identities) if config.tls else (),
        sealing=audit_sealing(config, instruments) if instruments else None,
        allows_unaudited=config.audit.on_failure == "allow",
    )


def audit_log(config: SidecarConfig, instruments: Instruments, chain: str) -> AuditLog:
    """Return the writer of a chain, not yet open."""
    audit = config.audit
    keys = [file.read().encode() for file in (audit.key_file, *audit.previous_key_files)]
    rotation = Rotation(audit.max_segment_bytes, audit.max_segment_age, audit.retention)
    return AuditLog(
        audit.folder, keys, instruments, durability=audit.durability, rotation=rotation, clock=time.time, chain=chain
    )


async def tidy_chains_at_rest(config: SidecarConfig, instruments: Instruments, written: Collection[str]) -> None:
    """Let chains that no worker writes any more note this start and drop what has expired; raises OSError."""
    for name in audit_chain.chains(config.audit.folder):
        if name not in written and name.isdigit():
            log = audit_log(config, instruments, name)
            log.open()
            await log.close()


async def watch_audit(
    config: SidecarConfig, log: AuditLog, instruments: Instruments, names: Callable[[], Iterable[str]]
) -> None:
    """Verify the chain of a log and other chains, which are at rest, until cancelled."""
    audit = config.audit
    # What the verifier opens is none of the operations that people ask for.
    ring = key_ring(config, Instruments(CollectorRegistry(), "sidecar"))

    def of(name: str) -> AuditWatch:
        return AuditWatch(
            audit.folder, log.sealers, instruments, whole_every=audit.verify_whole_every, chain=name, ring=ring,
            is_at_rest=name != log.chain,
        )  # fmt: skip

    await watch(of, names, audit.verify_every)


def audit_sealing(config: SidecarConfig, instruments: Instruments) -> AuditSealing | None:
    """Return what seals parts of audit records, None when nothing is to be sealed."""
    ring, sealed = key_ring(config, instruments), config.audit.sealed
    return AuditSealing(ring, sealed.client, sealed.arguments, sealed.classification) if sealed else None


def key_ring(config: SidecarConfig, instruments: Instruments) -> KeyRing:
    """Return the keys for sensitive data."""
    return KeyRing([key.compiled() for key in config.encryption_keys], instruments)


def fetch(issuer: Issuer, session: aiohttp.ClientSession) -> Fetch:
    """Return what gets an issuer's keys."""
    if issuer.jwks_file:
        return from_file(issuer.jwks_file)
    if issuer.jwks_url:
        return from_url(session, issuer.jwks_url)
    return from_discovery(session, issuer.issuer, allow_http=issuer.allow_http)


def endpoints(config: SidecarConfig) -> dict[str, Endpoint]:
    """Return the protected endpoints by path."""
    return {route.path: _endpoint(route, config) for route in config.routes}


def answers(config: SidecarConfig) -> Answers:
    """Return what refusals and metadata look like."""
    servers = tuple(issuer.issuer for issuer in config.issuers)
    paths = [route.path for route in config.routes]
    return Answers(config.resource.url, servers, config.resource.scopes_supported, paths)


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
        max_line_size=config.limits.header_bytes,
        max_field_size=config.limits.header_bytes,
    )


def issuer_rules(issuer: Issuer, config: SidecarConfig, keys: Callable[[], KeySet | None]) -> IssuerRules:
    """Return what tokens of an issuer must be like."""
    return IssuerRules(
        name=issuer.name,
        issuer=issuer.issuer,
        audiences=frozenset(canonical_audience(audience) for audience in (config.resource.url, *issuer.audiences)),
        keys=keys,
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


def rate_rules(config: SidecarConfig) -> RateRules | None:
    """Return the rate limit in the form that counts."""
    rate = config.limits.rate
    return RateRules(rate.requests / rate.per, rate.burst, rate.max_clients) if rate else None


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


def tls_context(config: SidecarConfig) -> ssl.SSLContext | None:
    """Return the TLS settings of the traffic port, None without TLS. Raises OSError for unusable certificates."""
    if config.tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.tls.client_ca_file:
        context.load_verify_locations(config.tls.client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED if config.tls.require_client_cert else ssl.CERT_OPTIONAL
    load_certificate(context, config)
    return context


def authorities(config: SidecarConfig) -> bytes:
    """Return the certificates of the authorities of clients. Raises OSError."""
    return config.tls.client_ca_file.read_bytes() if config.tls and config.tls.client_ca_file else b""


def load_certificate(context: ssl.SSLContext, config: SidecarConfig) -> None:
    """Read the certificate for handshakes from now on. Raises OSError when it is not usable."""
    if config.tls:
        context.load_cert_chain(config.tls.cert_file, config.tls.key_file.path)
