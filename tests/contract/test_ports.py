"""Ports: defaults, moved by the environment, never overlapping."""

import pytest

from contract.ports import ENDPOINTS, port


def test_default_ports_do_not_overlap() -> None:
    taken = [endpoint.port + offset for endpoint in ENDPOINTS.values() for offset in range(endpoint.count)]
    assert len(taken) == len(set(taken))


def test_each_endpoint_has_a_variable_of_its_own() -> None:
    assert len({endpoint.variable for endpoint in ENDPOINTS.values()}) == len(ENDPOINTS)


def test_the_environment_moves_a_port() -> None:
    assert port("exporter", {}) == 9820
    assert port("exporter", {"LOOKOUT_EXPORTER_PORT": ""}) == 9820
    assert port("exporter", {"LOOKOUT_EXPORTER_PORT": "19820"}) == 19820


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "9820.0", "٣"])
def test_what_is_no_port_is_refused_by_the_variables_name(text: str) -> None:
    with pytest.raises(ValueError, match="LOOKOUT_EXPORTER_PORT"):
        port("exporter", {"LOOKOUT_EXPORTER_PORT": text})


def test_a_range_of_ports_must_fit() -> None:
    with pytest.raises(ValueError, match="LOOKOUT_AGENTS_PORT"):
        port("agents", {"LOOKOUT_AGENTS_PORT": "65530"})
