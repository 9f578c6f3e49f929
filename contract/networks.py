"""Addresses of peers, and the networks that they are in."""

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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
