"""Whether a peer is in a network, however its address is written."""

import ipaddress

import pytest

from contract.networks import address_of, is_within

NETWORKS = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


@pytest.mark.parametrize(
    ("peer", "holds"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.1", False),
        ("10.0.0.1", False),
        ("127.0.0.1:80", False),
        ("localhost", False),
        ("", False),
    ],
)
def test_a_peer_is_in_a_network_however_its_address_is_written(peer: str, holds: bool) -> None:
    assert is_within(peer, NETWORKS) is holds


def test_what_is_no_address_has_none() -> None:
    assert address_of("unix") is None
