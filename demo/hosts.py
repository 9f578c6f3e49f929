"""The names under which a demo MCP server may be called; any other could be a browser led astray (DNS rebinding)."""

from collections.abc import Iterable

from mcp.server.transport_security import TransportSecuritySettings


def security(hosts: Iterable[str]) -> TransportSecuritySettings:
    """Return the SDK's protection for these names, with any port."""
    allowed = [spelling for host in hosts for spelling in (host, f"{host}:*")]
    return TransportSecuritySettings(allowed_hosts=allowed, allowed_origins=[f"http://{host}" for host in allowed])
