"""The ports of a running stack, remembered: every shell finds the stack, whatever that shell's environment says."""

import json
from collections.abc import Mapping
from pathlib import Path

from contract.ports import ENDPOINTS, port
from deploy.native.files import write_if_changed


class PortsError(Exception):
    """The environment asks for other ports than those of the running stack; the message says which, and what to do."""


class Ports:
    """The remembered ports of one state folder."""

    def __init__(self, state: Path) -> None:
        """Take the state folder."""
        self._file = state / "ports.json"

    def remember(self, environ: Mapping[str, str]) -> None:
        """Write down the ports that the environment gives every endpoint. Raises ValueError for what is no port."""
        ports = {endpoint.variable: str(port(name, environ)) for name, endpoint in ENDPOINTS.items()}
        write_if_changed(self._file, json.dumps(ports, indent=1))

    def of_running(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the remembered ports as environment variables; none where nothing was remembered.

        Raises PortsError where the environment explicitly says otherwise.
        """
        if not self._file.exists():
            return {}
        ports: dict[str, str] = json.loads(self._file.read_text(encoding="utf-8"))
        others = {name: environ[name] for name in ports if environ.get(name, ports[name]) not in ("", ports[name])}
        if others:
            lines = [f"  {name}={value}, but the running stack has {ports[name]}" for name, value in others.items()]
            mend = "Unset it to use the running stack, or `make down` first to move it."
            raise PortsError("\n".join(["The running stack has other ports:", *lines, mend]))
        return ports
