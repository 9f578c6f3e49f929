"""Ports: defaults, moved by the environment, never overlapping."""

import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contract.ports import ENDPOINTS, FREE, free_port, port

ASK = "from contract.ports import free_port; print(*(free_port() for _ in range(100)))"


@pytest.fixture
def own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Remember the ports that were given in a folder of this test's own."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


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


def test_no_two_processes_are_given_the_same_port(own_memory: Path) -> None:
    command = [sys.executable, "-c", ASK]
    with ThreadPoolExecutor() as pool:
        asked = [
            pool.submit(subprocess.check_output, command, text=True, env={"TMPDIR": str(own_memory)}) for _ in range(3)
        ]
    given = [int(port) for answer in asked for port in answer.result().split()]
    assert len(given) == len(set(given)) == 300
    assert set(given) <= set(FREE)


def test_a_port_that_somebody_listens_on_is_passed_over(own_memory: Path) -> None:
    first = free_port(2)
    [memory] = own_memory.iterdir()
    memory.write_text(str(first), encoding="utf-8")
    with socket.create_server(("127.0.0.1", first)):
        assert free_port() > first


def test_after_the_last_port_the_first_are_given_again(own_memory: Path) -> None:
    free_port()
    [memory] = own_memory.iterdir()
    memory.write_text(str(FREE.stop - 1), encoding="utf-8")
    assert free_port(2) in FREE[:-2]
