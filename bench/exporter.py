"""The exporter: probes per CPU second beside blackbox_exporter, MCP probes per core, and a fleet of 10,000 agents.

The programs are the real ones, as users run them, each a process of its own. Exporter and peer take turns on the same
target, so that a busy machine slows both.
"""

import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import yaml

from bench.processes import Program, started, targets
from bench.report import Measure, compared
from contract.ports import free_port
from contract.vocabulary import AGENT_TYPES
from deploy.native import packages

ROUNDS = 3
SECONDS = 3.0
"""How long one turn is measured."""
DRIVERS = 4
"""Connections that ask the peer for probes."""
FLEET = 10_000
FLEET_SECONDS = 20.0
SCRAPES = 5
_COUNT = re.compile(rb"^mcp_agent_probes_total\{[^}]*outcome=\"(ok|degraded)\"\} ([0-9.e+]+)$", re.MULTILINE)


def run() -> Iterator[Measure]:
    """Measure everything that the design has a budget for."""
    yield _beside_blackbox("HTTP probes, connections reused", 3000)._replace(at_least=3)
    yield _beside_blackbox("HTTP probes, the target hangs up after each", 1200, "--close")
    yield Measure("MCP 2026-07-28 probes, connections reused", _mcp_rate(3000), "/CPU s", at_least=2500)
    yield Measure("MCP 2026-07-28 probes, a connection each", _mcp_rate(1200, "--close"), "/CPU s")
    yield Measure("MCP legacy probes (handshake, ping, DELETE)", _mcp_rate(400, "--legacy"), "/CPU s")
    yield from _fleet()


def _beside_blackbox(what: str, demand: int, *options: str) -> Measure:
    """Let exporter (so many probes a second) and blackbox_exporter (as many as it can) probe one target in turns."""
    ours, peers = [], []
    with targets(*options) as port:
        url = f"http://127.0.0.1:{port}/health"
        for _ in range(ROUNDS):
            with _blackbox() as peer:
                peers.append(_rate(peer, partial(_drive, peer, url)))
            with _exporter(_agents(3 * demand, lambda _: url, "3s", "http")) as exporter:
                ours.append(_own_rate(exporter))
    return compared(what, ours, "/CPU s", "blackbox_exporter", peers)


def _mcp_rate(demand: int, *options: str) -> float:
    """Return MCP probes a CPU second, with so many due every second."""
    with (
        targets("--ports", "50", *options) as port,
        _exporter(_agents(3 * demand, lambda number: f"http://127.0.0.1:{port + number % 50}/mcp", "3s")) as exporter,
    ):
        return statistics.median(_own_rate(exporter) for _ in range(ROUNDS))


def _fleet() -> Iterator[Measure]:
    """Watch 10,000 agents, each of 2,000 addresses being that of five, so that hardly a connection is reused."""

    def url(number: int) -> str:
        return f"http://127.0.0.{number % 20 + 1}:{port + number // 20 % 100}/mcp"

    with targets("--addresses", "20", "--ports", "100") as port, _exporter(_agents(FLEET, url, "15s")) as exporter:
        before, began = exporter.cpu_seconds(), time.monotonic()
        time.sleep(FLEET_SECONDS)
        share = (exporter.cpu_seconds() - before) / (time.monotonic() - began)
        yield Measure("10,000 agents every 15 s", share, "cores", at_most=1)
        for encoding in ("identity", "gzip"):
            took = 1000 * statistics.median(_scrape_seconds(exporter, encoding) for _ in range(SCRAPES))
            yield Measure(f"/metrics of 10,000 agents, {encoding}", took, "ms", at_most=300)
        yield Measure("peak memory with 10,000 agents", exporter.peak_memory_mebibytes(), "MiB", at_most=250)


def _scrape_seconds(exporter: Program, encoding: str) -> float:
    began = time.perf_counter()
    exporter.get("/metrics", {"Accept-Encoding": encoding})
    return time.perf_counter() - began


def _agents(number: int, url: Callable[[int], str], interval: str, probe: str = "mcp") -> dict[str, Any]:
    """Return a configuration of so many agents."""
    agents = [
        {"name": f"agent-{place}", "type": AGENT_TYPES[place % len(AGENT_TYPES)], "url": url(place)}
        for place in range(number)
    ]
    timeout = min(interval, "5s", key=lambda text: float(text[:-1]))
    return {"defaults": {"probe": probe, "interval": interval, "timeout": timeout}, "agents": agents}


@contextmanager
def _exporter(config: dict[str, Any]) -> Iterator[Program]:
    """Run the exporter on a configuration until every agent has been probed."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "exporter.yaml"
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        command = [sys.executable, "-m", "exporter", "--config", str(file), "--port", str(port), "--log-level", "error"]
        with started(command, f"http://127.0.0.1:{port}", ready="/-/ready") as program:
            yield program


@contextmanager
def _blackbox() -> Iterator[Program]:
    """Run blackbox_exporter with a plain HTTP module."""
    port = free_port()
    http = {"preferred_ip_protocol": "ip4", "follow_redirects": False}
    module = {"modules": {"http_2xx": {"prober": "http", "timeout": "5s", "http": http}}}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "blackbox.yml"
        file.write_text(yaml.safe_dump(module), encoding="utf-8")
        binary = str(packages.locate("blackbox_exporter", "new"))
        command = [binary, f"--config.file={file}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
        with started(command, f"http://127.0.0.1:{port}", ready="/-/healthy") as program:
            yield program


def _own_rate(exporter: Program) -> float:
    """Return the exporter's probes a CPU second over one turn."""

    def wait() -> int:
        before = _probes(exporter)
        time.sleep(SECONDS)
        return _probes(exporter) - before

    return _rate(exporter, wait)


def _rate(program: Program, work: Callable[[], int]) -> float:
    before = program.cpu_seconds()
    done = work()
    return done / (program.cpu_seconds() - before)


def _probes(exporter: Program) -> int:
    return round(sum(float(count) for _, count in _COUNT.findall(exporter.get("/metrics"))))


def _drive(blackbox: Program, url: str) -> int:
    """Ask blackbox_exporter for probes over a few connections for one turn; return how many succeeded."""
    end = time.monotonic() + SECONDS
    host, path = blackbox.url.removeprefix("http://"), f"/probe?module=http_2xx&target={url}"

    def ask(_driver: int) -> int:
        connection, done = HTTPConnection(host, timeout=10), 0
        while time.monotonic() < end:
            connection.request("GET", path)
            done += b"\nprobe_success 1" in connection.getresponse().read()
        connection.close()
        return done

    with ThreadPoolExecutor(DRIVERS) as drivers:
        return sum(drivers.map(ask, range(DRIVERS)))
