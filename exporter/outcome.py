"""What a probe returns: values, never exceptions."""

from dataclasses import dataclass, field
from typing import NamedTuple

from contract.vocabulary import ProbeOutcome
from exporter.tool_pins import Fingerprints


class Failure(NamedTuple):
    """Why an exchange did not give what was asked for."""

    outcome: ProbeOutcome
    detail: str
    """For people: page, log and /probe; never a label."""
    is_challenge: bool = False
    """The server is alive and protected: it says where to get a token (RFC 9728)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What an MCP server says it is. Self-reported: shown, never trusted."""

    era: str
    protocol_version: str
    server_name: str = ""
    server_version: str = ""
    has_tools: bool = True


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One look at one agent."""

    outcome: ProbeOutcome
    duration_seconds: float
    detail: str = ""
    identity: Identity | None = None
    http_status: int = 0
    """Status of the last answer, 0 when there was none."""
    tools: Fingerprints | None = field(default=None, repr=False)
    """Hash of every tool by name, None when they were not listed this time; the definitions are not kept."""
