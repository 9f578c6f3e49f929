"""Addresses of peers, and the networks that they are in."""

import ipaddress
from collections.abc import Container, Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
FORWARDING = (
    "Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Server",
    "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-User", "X-Real-IP", "X-Client-IP", "True-Client-IP",
)  # fmt: skip
"""Headers that proxies add to what they pass on; nobody else has a reason to send them."""


def address_of(peer: str) -> Address | None:
    """Return the address of a peer, an IPv4 one within IPv6 as what it is; None for what is no address."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def is_within(peer: str, networks: Iterable[Network]) -> bool:
    """Whether a peer is in one of the networks."""
    address = address_of(peer)
    return address is not None and any(address in network for network in networks)


def is_passed_on(headers: Container[str]) -> bool:
    """Whether the headers of a request, in whatever case, say that a proxy passed it on."""
    return any(name in headers for name in FORWARDING)
