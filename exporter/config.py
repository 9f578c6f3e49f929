"""The exporter's configuration: what to ask, how often, with which credentials, and how to judge health."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import AfterValidator, Discriminator, Field, StringConstraints, Tag, model_validator

from contract.config import Model
from contract.fields import HttpUrl, PositiveDuration, RelativePath, SecretFile
from contract.vocabulary import AGENT_TYPES, HealthComponent
from exporter import label_values
from exporter.jsonrpc import modern_message

Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/\-]*$")]
"""Names of agents, sources and the like: they become labels and parts of URLs."""

ProbeKind = Literal["mcp", "http", "health_json"]


def _check_trust(path: Path) -> Path:
    try:
        ssl.create_default_context(cafile=str(path))
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"{path} is no file of CA certificates: {error}; give certificates in PEM form") from None
    return path


def _check_expression(text: str) -> str:
    try:
        jmespath.compile(text)
    except JMESPathError as error:
        reason = " ".join(str(error).split())[:120]
        raise ValueError(f"{text!r} is not a JMESPath expression: {reason}; see jmespath.org") from None
    return text


def _check_pattern(path: Path) -> Path:
    label_values.checked(str(path))
    return path


Pattern = Annotated[RelativePath, AfterValidator(_check_pattern)]
CaFile = Annotated[RelativePath, AfterValidator(_check_trust)]
Expression = Annotated[str, AfterValidator(_check_expression)]


def _is_one(value: object) -> str:
    return "keys" if isinstance(value, dict) else "one"


# Told apart by shape, so that a mistake is reported once and not once for every shape it might have had.
Branch = Annotated[
    Annotated[Expression, Tag("one")] | Annotated[dict[str, Expression], Tag("keys")], Discriminator(_is_one)
]
Tree = Annotated[Annotated[Expression, Tag("one")] | Annotated[dict[str, Branch], Tag("keys")], Discriminator(_is_one)]
"""A part of the statistics document: one JMESPath expression, or one a key, two levels deep."""


class FileCredentials(Model):
    """A bearer token that somebody else keeps in a file."""

    token_file: SecretFile


class OAuthCredentials(Model):
    """A client of an OAuth authorization server (client credentials grant)."""

    token_url: HttpUrl
    client_id: str = Field(min_length=1)
    client_secret_file: SecretFile
    client_auth: Literal["basic", "post"] = "basic"
    scope: str = ""
    resource: str = ""
    audience: str = ""


def _kind_of_credentials(value: object) -> str:
    return (
        "file" if isinstance(value, FileCredentials) or (isinstance(value, dict) and "token_file" in value) else "oauth"
    )


Credentials = Annotated[
    Annotated[FileCredentials, Tag("file")] | Annotated[OAuthCredentials, Tag("oauth")],
    Discriminator(_kind_of_credentials),
]


class ToolCall(Model):
    """A harmless tool to call with every probe; a result with isError makes the outcome tool_error."""

    name: str = Field(min_length=1)
    arguments: dict[str, Any] = {}

    @model_validator(mode="after")
    def _check_message(self) -> "ToolCall":
        try:
            # What cannot be written as JSON would break every probe.
            modern_message("tools/call", {"name": self.name, "arguments": self.arguments})
        except (TypeError, ValueError) as error:
            raise ValueError(f"name and arguments cannot be sent as JSON: {error}; write JSON values") from None
        return self


class ProbeSettings(Model):
    """How an agent is probed; what an agent or file_sd group leaves out comes from `defaults`."""

    probe: ProbeKind = "mcp"
    interval: PositiveDuration = 30.0
    timeout: PositiveDuration = 5.0
    tools_interval: PositiveDuration = 300.0
    credentials: str | None = None
    ca_file: CaFile | None = None
    check_tool: ToolCall | None = None


class Agent(ProbeSettings):
    """One agent."""

    name: Name
    type: Name
    url: HttpUrl


class FileSd(ProbeSettings):
    """Prometheus file_sd files; their labels `agent` and `agent_type` name an agent, `path` completes host:port."""

    files: tuple[Pattern, ...] = Field(min_length=1)
    path: str = Field(default="/mcp", pattern=r"^/")


class WorkflowMapping(Model):
    """Where the parts of the statistics document are found in one workflow of another JSON."""

    name: Expression
    runs: Branch | None = None
    in_progress: Branch | None = None
    queue: Branch | None = None
    duration_seconds: Tree | None = None
    steps: Expression | None = None
    iterations: Tree | None = None
    human: Tree | None = None
    last_success_timestamp: Expression | None = None


class WorkflowSource(Model):
    """Where a workflow engine tells its statistics."""

    name: Name
    url: HttpUrl
    kind: Literal["document", "mcp_resource", "jmespath"] = "document"
    resource: str = ""
    workflows: Expression | None = None
    mapping: WorkflowMapping | None = None
    interval: PositiveDuration = 15.0
    timeout: PositiveDuration = 5.0
    credentials: str | None = None
    ca_file: CaFile | None = None

    @model_validator(mode="after")
    def _check_kind(self) -> "WorkflowSource":
        if (self.kind == "mcp_resource") != bool(self.resource):
            raise ValueError("`resource` and kind mcp_resource belong together; give both or neither")
        if (self.kind == "jmespath") != bool(self.workflows and self.mapping):
            raise ValueError("kind jmespath goes with `workflows` and `mapping`; give both, or neither for other kinds")
        return self


Points = Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)]
"""An end of a check's scale; bounded so that the distance of two is finite."""


class Check(Model):
    """A PromQL query whose worst value is judged: 100 points up to `good`, 0 from `bad` on, linear between."""

    query: str = Field(min_length=1)
    good: Points
    bad: Points
    unit: Literal["ratio", "seconds", "count"] = "count"

    @model_validator(mode="after")
    def _check_ends(self) -> "Check":
        if self.good == self.bad:
            raise ValueError("good and bad are the same value; nothing could be told apart")
        return self


class Api(Model):
    """A Prometheus or Alertmanager: where we reach it and where a browser does."""

    url: HttpUrl
    public_url: HttpUrl | None = None
    interval: PositiveDuration = 15.0
    timeout: PositiveDuration = 5.0
    credentials: str | None = None
    ca_file: CaFile | None = None

    @property
    def link(self) -> str:
        """The address for people, without a slash at its end."""
        return (self.public_url or self.url).rstrip("/")


class AlertmanagerApi(Api):
    """An Alertmanager, and the alerts of it that always fire to show that the chain works: they are no news."""

    heartbeats: tuple[str, ...] = ("Watchdog",)


_NODE_CHECKS = {
    "cpu": Check(
        query='max(1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[2m])))',
        good=0.9, bad=1.0, unit="ratio",
    ),
    "memory": Check(
        query="max(1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)", good=0.9, bad=0.98, unit="ratio"
    ),
    "disk": Check(
        query='max(1 - node_filesystem_avail_bytes{fstype!~"tmpfs|overlay|squashfs"} / node_filesystem_size_bytes)',
        good=0.85, bad=0.97, unit="ratio",
    ),
}  # fmt: skip
_AUTH_CHECKS = {
    "failed_authentications_per_minute": Check(
        query='sum(increase(mcp_auth_authentications_total{result="failure"}[1m]))', good=2, bad=10
    ),
    "authentication_errors_per_minute": Check(
        query='sum(increase(mcp_auth_authentications_total{result="error"}[1m]))', good=0, bad=5
    ),
    "locked_out_clients": Check(query="sum(mcp_auth_locked_clients)", good=0, bad=5),
    "audit_chain_broken": Check(query="max(mcp_audit_chain_broken)", good=0, bad=1),
}


class Health(Model):
    """How the health score is made; docs/health-score.md explains the formula."""

    window: PositiveDuration = 600.0
    weights: dict[HealthComponent, Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]] = {}
    infrastructure: dict[Name, Check] = _NODE_CHECKS
    security: dict[Name, Check] = _AUTH_CHECKS


class Limits(Model):
    """Bounds on what the exporter does and exposes."""

    concurrent_probes: int = Field(default=1000, ge=1)
    agents: int = Field(default=20_000, ge=1)
    series_per_metric: int = Field(default=500, ge=1)


class ExporterConfig(Model):
    """The whole file."""

    defaults: ProbeSettings = ProbeSettings()
    agent_types: tuple[Name, ...] = ()
    """Types of agents beside those that everybody has; see `types`."""
    agents: tuple[Agent, ...] = ()
    file_sd: tuple[FileSd, ...] = ()
    credentials: dict[Name, Credentials] = {}
    pinned_tools: RelativePath | None = None
    workflow_sources: tuple[WorkflowSource, ...] = ()
    prometheus: Api | None = None
    alertmanager: AlertmanagerApi | None = None
    health: Health = Health()
    limits: Limits = Limits()
    links: dict[str, HttpUrl] = {}
    runbooks: RelativePath | None = None

    @property
    def types(self) -> tuple[str, ...]:
        """Every type that an agent may have."""
        return tuple(dict.fromkeys([*AGENT_TYPES, *self.agent_types]))


def resolve(defaults: ProbeSettings, own: ProbeSettings) -> Mapping[str, Any]:
    """Return every probe setting: the agent's or group's own where given, else the default."""
    return {
        name: getattr(own if name in own.model_fields_set else defaults, name) for name in ProbeSettings.model_fields
    }
