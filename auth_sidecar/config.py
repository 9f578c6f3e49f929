"""Configuration of the sidecar and its roles: what `sidecar.yaml` and `roles.yaml` may say, and what makes no sense."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field

from auth_sidecar import config_identity, fixed, rbac
from auth_sidecar.answers import METADATA_PATH
from auth_sidecar.config_audit import Audit, EncryptionKeyModel
from auth_sidecar.config_identity import ApiKeyModel, Issuer, Tls, Words
from auth_sidecar.config_ports import Admin, ForwardAuth, Traffic
from auth_sidecar.operations import AUTHENTICATED
from auth_sidecar.revocation import parse as parse_revocations
from contract import config as files
from contract.config import Finding, Loaded, Location, Model
from contract.fields import Duration, HttpUrl, PositiveDuration, RelativePath

PROTOCOL_METHODS = (
    "initialize", "notifications/*", "ping", "server/discover", "subscriptions/listen", "logging/setLevel",
    "tools/list", "prompts/list", "resources/list", "resources/templates/list", "completion/complete",
    "http/get", "http/delete", "rpc/response",
)  # fmt: skip
"""What a session needs before it can ask for anything; open to everybody who is authenticated unless mapped."""


class ResourceServer(Model):
    """What this sidecar protects, as tokens and clients name it."""

    url: HttpUrl
    """Canonical URI: the audience of tokens and the `resource` of the metadata document."""
    hosts: Words = ("localhost", "127.0.0.1", "::1")
    """Names in the Host header that are answered; without a port every port counts."""
    origins: Words = ()
    """Values of the Origin header that are answered; requests without one always are."""
    scopes_supported: Words = ()
    """Smallest set of scopes for basic work, as the metadata document tells clients."""


class Route(Model):
    """One protected MCP endpoint."""

    path: str = Field(pattern=r"^/[A-Za-z0-9._~/-]*$")
    upstream: HttpUrl
    agent: str
    agent_type: str
    workflow: str | None = None
    tools: Mapping[str, str] = {}
    """Permissions of this endpoint's tools; what is not here is looked up in `operations`."""
    headers_are_validated: bool = False
    """The server behind refuses headers that its body contradicts, so that forward-auth may decide by them."""
    shadow: bool = False
    """Let pass, and count, what this endpoint would deny for want of a permission; tokens are still demanded."""
    filter_lists: bool = True
    """Show callers only what they may use."""


class Operations(Model):
    """Which permission an operation needs; `authenticated` asks for a valid token only. What is not here is denied."""

    methods: Mapping[str, str] = {}
    tools: Mapping[str, str] = {}
    prompts: Mapping[str, str] = {}
    resources: Mapping[str, str] = {}
    scopes: Mapping[str, Words] = {}
    """Scopes that a permission needs besides the role."""
    scope_includes: Mapping[str, Words] = {}
    """Scope -> the scopes it stands for as well."""

    def all_methods(self) -> dict[str, str]:
        """Return the permissions of methods, those of the protocol itself included."""
        return {**dict.fromkeys(PROTOCOL_METHODS, AUTHENTICATED), **self.methods}


class Lockout(Model):
    """So many failed authentications within the window lock a client out; 0 turns it off."""

    failures: int = Field(default=0, ge=0)
    window: PositiveDuration = 300.0
    duration: PositiveDuration = 300.0
    max_clients: int = Field(default=10_000, ge=1)


class Rate(Model):
    """So many requests in the time on the average, and so many at once, for each client address."""

    requests: int = Field(ge=1)
    per: PositiveDuration = 1.0
    burst: int = Field(default=100, ge=1)
    max_clients: int = Field(default=10_000, ge=1)


class Limits(Model):
    """What one client may ask for."""

    body_bytes: int = Field(default=4 << 20, ge=1024)
    header_bytes: int = Field(default=32 << 10, ge=4096, le=1 << 20)
    cached_tokens: int = Field(default=10_000, ge=1)
    lockout: Lockout = Lockout()
    rate: Rate | None = None


class Upstream(Model):
    """How the servers behind are spoken to."""

    connect_timeout: PositiveDuration = 5.0
    response_timeout: Duration = 60.0
    """Until the first byte of an answer; 0s waits for ever."""
    idle_timeout: Duration = 0.0
    """Longest silence within a stream; 0s waits for ever."""
    keep_authorization: bool = False
    """Pass the client's token on. Only where the server behind is the same OAuth resource."""


class SidecarConfig(Model):
    """The whole of `sidecar.yaml`."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    workers: int = Field(default=1, ge=1, le=64)
    """Processes that share the ports for traffic and questions; each has an audit chain of its own."""
    traffic: Traffic = Traffic()
    admin: Admin = Admin()
    forward_auth: ForwardAuth | None = None
    resource: ResourceServer
    tls: Tls | None = None
    issuers: tuple[Issuer, ...] = Field(min_length=1)
    api_keys: tuple[ApiKeyModel, ...] = ()
    revocations_file: RelativePath | None = None
    """JSON list of revocations, `[]` for none; watched, and written by the admin port. Without this key they last until
    the next start."""
    roles_file: RelativePath | None = None
    """`roles.yaml` beside the configuration when it is not named."""
    routes: tuple[Route, ...] = Field(min_length=1)
    operations: Operations = Operations()
    encryption_keys: tuple[EncryptionKeyModel, ...] = ()
    limits: Limits = Limits()
    upstream: Upstream = Upstream()
    audit: Audit
    drain: Duration = 10.0
    """How long open requests may go on after the end was asked for."""


class GrantModel(Model):
    """A permission narrowed to resources."""

    permission: str
    agents: Words = ()
    agent_types: Words = ()
    tools: Words = ()
    workflows: Words = ()


class RoleModel(Model):
    """A role: what it may, what it may never, and whose rights it has as well."""

    description: str = ""
    inherits: Words = ()
    permissions: tuple[str | GrantModel, ...] = ()
    deny: tuple[str | GrantModel, ...] = ()

    def compiled(self) -> rbac.Role:
        """Return the role in the form that decides."""
        return rbac.Role(self.inherits, _grants(self.permissions), _grants(self.deny))


class RoleFile(Model):
    """The whole of `roles.yaml`."""

    roles: Mapping[str, RoleModel] = Field(min_length=1)

    def compiled(self) -> dict[str, rbac.Role]:
        """Return the roles in the form that decides."""
        return {name: role.compiled() for name, role in self.roles.items()}


class Settings(Model):
    """A usable configuration: the sidecar's own and its roles."""

    sidecar: SidecarConfig
    policy: rbac.Policy


def load(path: Path, running: SidecarConfig | None = None) -> Loaded[Settings]:
    """Read `sidecar.yaml` and the role file it names; raises ConfigError with every problem of both.

    To a running sidecar's own configuration another one is also a problem where it could not be put into force.
    """
    loaded = files.load(path, SidecarConfig, check)
    roles = files.load(loaded.config.roles_file or path.parent / "roles.yaml", RoleFile, check_roles)

    def check_given(read: SidecarConfig) -> Iterator[Finding]:
        yield from config_identity.check_roles(read.issuers, read.api_keys, read.tls, roles.config.roles)
        if running:
            yield from fixed.check(running, read)

    files.load(path, SidecarConfig, check_given)  # once more, for the lines
    settings = Settings(sidecar=loaded.config, policy=rbac.compile_roles(roles.config.compiled()))
    return Loaded(settings, loaded.warnings + roles.warnings)


def check_roles(config: RoleFile) -> Iterator[Finding]:
    """Find unknown parents and cycles of inheritance."""
    for problem in rbac.problems(config.compiled()):
        yield Finding(("roles", problem.role, "inherits"), problem.message, problem.mend)


def check(config: SidecarConfig) -> Iterator[Finding]:
    """Find what only shows across fields."""
    yield from _duplicates("issuers", "name", [issuer.name for issuer in config.issuers])
    yield from _duplicates("issuers", "issuer", [issuer.issuer for issuer in config.issuers])
    yield from _duplicates("routes", "path", [route.path for route in config.routes])
    yield from _duplicates("routes", "agent", [route.agent for route in config.routes])
    yield from _duplicates("api_keys", "name", [key.name for key in config.api_keys])
    yield from config_identity.check(config.issuers, config.api_keys, config.tls)
    for index, route in enumerate(config.routes):
        yield from _check_route(("routes", index), route)
    yield from _duplicates("encryption_keys", "id", [key.id for key in config.encryption_keys])
    yield from _check_encryption(config)
    yield from _check_revocations(config.revocations_file)
    if config.workers > 1 and config.revocations_file is None:
        yield Finding(("workers",), "several workers know revocations from a file only", "set revocations_file")
    if "offline_access" in config.resource.scopes_supported:
        yield Finding(("resource", "scopes_supported"), "offline_access is not for resource servers", "take it out")
    for permission in config.operations.scopes:
        if permission not in _permissions(config):
            yield Finding(
                ("operations", "scopes", permission), "no operation needs this permission", "map one", is_warning=True
            )


def _check_route(place: Location, route: Route) -> Iterator[Finding]:
    if route.path.startswith(METADATA_PATH):
        yield Finding((*place, "path"), "the resource metadata is answered there", "take another path")
    if urlsplit(route.upstream).query or urlsplit(route.upstream).fragment:
        yield Finding((*place, "upstream"), "has a query or a fragment; clients' own is passed on", "take it out")


def _check_encryption(config: SidecarConfig) -> Iterator[Finding]:
    for index, key in enumerate(config.encryption_keys):
        try:
            key.compiled()
        except ValueError:
            mend = "write 32 random bytes in base64 into it"
            yield Finding(("encryption_keys", index, "key_file"), "the file holds no AES-256 key", mend)
    sealed = config.audit.sealed
    if sealed and sealed.classification not in {key.classification for key in config.encryption_keys}:
        message = f"no encryption key has the classification {sealed.classification!r}"
        yield Finding(("audit", "sealed", "classification"), message, "add one to encryption_keys")


def _check_revocations(file: Path | None) -> Iterator[Finding]:
    """Find what would let nobody in: the list of what was taken back must be there, also when it is empty."""
    if file is None:
        return
    try:
        parse_revocations(file.read_bytes())
    except FileNotFoundError:
        yield Finding(("revocations_file",), "the file does not exist", "write [] into it when nothing is revoked")
    except OSError as error:
        yield Finding(("revocations_file",), f"the file cannot be read: {error.strerror}", "check its rights")
    except ValueError as error:
        mend = "restore it; [] is the list when nothing is revoked"
        yield Finding(("revocations_file",), f"no list of revocations: {error}", mend)


def _duplicates(section: str, field: str, values: list[str]) -> Iterator[Finding]:
    for index, value in enumerate(values):
        if value in values[:index]:
            yield Finding((section, index, field), f"{value!r} stands here twice", "rename or remove one of them")


def _permissions(config: SidecarConfig) -> set[str]:
    operations = config.operations
    tables: tuple[Mapping[str, str], ...] = (
        operations.methods,
        operations.tools,
        operations.prompts,
        operations.resources,
    )
    return {
        permission for table in (*tables, *(route.tools for route in config.routes)) for permission in table.values()
    }


def _grants(entries: tuple[str | GrantModel, ...]) -> tuple[rbac.Grant, ...]:
    return tuple(
        rbac.Grant(entry) if isinstance(entry, str) else rbac.Grant(**{name: value for name, value in entry})
        for entry in entries
    )
