"""Configuration of the ports: for traffic, for people who run the sidecar, and for reverse proxies that ask."""

import ipaddress

from pydantic import Field

from contract.config import Model
from contract.fields import SecretFile
from contract.ports import ENDPOINTS


class Listen(Model):
    """Where a port is opened; the command line may say otherwise."""

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)


class Traffic(Listen):
    """The port for MCP traffic."""

    port: int = Field(default=ENDPOINTS["sidecar"].port, ge=0, le=65535)


class Admin(Listen):
    """The port for metrics, health, reload and revocations; never open it to clients."""

    port: int = Field(default=ENDPOINTS["sidecar_admin"].port, ge=0, le=65535)
    token_file: SecretFile | None = None
    """Bearer token for whoever reloads or revokes from another machine; without one only this machine may."""


class ForwardAuth(Listen):
    """The port where a reverse proxy asks whether a request may pass."""

    port: int = Field(default=9828, ge=0, le=65535)
    trusted_proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = (
        ipaddress.IPv4Network("127.0.0.0/8"),
        ipaddress.IPv6Network("::1/128"),
    )
    """Who may ask, and is believed about the client's address, host and path."""
    path: str = Field(default="/auth", pattern=r"^/[A-Za-z0-9._~-]+$")
