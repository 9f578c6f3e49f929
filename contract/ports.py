"""Which service listens where: names, default ports, the environment variables that move them, and free ports."""

import fcntl
import os
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path


@dataclass(frozen=True)
class Endpoint:
    """One listening socket of the stack."""

    host: str
    """Compose service name, as configuration files write it."""
    port: int
    """Port in a container, and on the host unless moved."""
    variable: str
    """Environment variable that moves the port on the host."""
    count: int = 1
    """How many consecutive ports the service takes."""


ENDPOINTS: Mapping[str, Endpoint] = {
    "grafana": Endpoint("grafana", 3000, "LOOKOUT_GRAFANA_PORT"),
    "prometheus": Endpoint("prometheus", 9090, "LOOKOUT_PROMETHEUS_PORT"),
    "alertmanager": Endpoint("alertmanager", 9093, "LOOKOUT_ALERTMANAGER_PORT"),
    "node_exporter": Endpoint("node-exporter", 9100, "LOOKOUT_NODE_EXPORTER_PORT"),
    "sidecar": Endpoint("sidecar", 9819, "LOOKOUT_SIDECAR_PORT"),
    "exporter": Endpoint("exporter", 9820, "LOOKOUT_EXPORTER_PORT"),
    "sidecar_admin": Endpoint("sidecar", 9821, "LOOKOUT_SIDECAR_ADMIN_PORT"),
    "incident_desk": Endpoint("incident-desk", 9822, "LOOKOUT_INCIDENT_DESK_PORT"),
    "sink": Endpoint("sink", 9823, "LOOKOUT_SINK_PORT"),
    "idp": Endpoint("idp", 9824, "LOOKOUT_IDP_PORT"),
    "sink_smtp": Endpoint("sink", 9825, "LOOKOUT_SINK_SMTP_PORT"),
    "engine": Endpoint("engine", 9826, "LOOKOUT_ENGINE_PORT"),
    "demo_control": Endpoint("agents", 9827, "LOOKOUT_DEMO_CONTROL_PORT"),
    "otlp": Endpoint("otel-collector", 4318, "LOOKOUT_OTLP_PORT"),
    "loki": Endpoint("loki", 3100, "LOOKOUT_LOKI_PORT"),
    "tempo": Endpoint("tempo", 3200, "LOOKOUT_TEMPO_PORT"),
    "agents": Endpoint("agents", 9830, "LOOKOUT_AGENTS_PORT", count=12),
}

FREE = range(20000, 32768)
"""Where free ports are looked for."""


def port(name: str, environ: Mapping[str, str] = os.environ) -> int:
    """Return the host port of an endpoint: the environment's, else the default.

    Raises ValueError when the variable does not hold a port number.
    """
    endpoint = ENDPOINTS[name]
    text = environ.get(endpoint.variable) or str(endpoint.port)
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 65536 - endpoint.count):
        raise ValueError(f"{endpoint.variable}={text!r} is not a port number")
    return int(text)


def free_port(count: int = 1) -> int:
    """Return the first of `count` ports in a row that are free now, and that nobody is given or takes meanwhile.

    A port of the kernel's choice may be a client's in the next moment; these lie below that range (32768 and above).
    What was given last is kept in a file, so that no process of this user is given the same until all others were.
    """
    memory = Path(tempfile.gettempdir()) / f"lookout-ports-{os.getuid()}"
    with os.fdopen(os.open(memory, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        first = _first_free(int(file.read() or FREE.start), count)
        file.seek(0)
        file.write(str(first + count))  # of five digits, as before
    return first


def _first_free(start: int, count: int) -> int:
    """Return where the first row of free ports begins, searched from `start` and around."""
    for first in chain(range(start, FREE.stop), FREE):
        if first + count <= FREE.stop and all(_is_free(first + offset) for offset in range(count)):
            return first
    raise RuntimeError(f"no {count} free ports in a row")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
