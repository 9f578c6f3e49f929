"""Compose's names of hosts, ports and folders in a configuration file, turned into this machine's.

Configuration files name services as docker-compose.yml does (`http://agents:9830/mcp`), so that one file serves both.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from contract.ports import ENDPOINTS, port


def addresses(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return this machine's address for each `service:port` of the stack, and for each moved `localhost:port`.

    Raises ValueError when a port's environment variable holds no port number.
    """
    found = {}
    for name, endpoint in ENDPOINTS.items():
        moved = port(name, environ)
        for offset in range(endpoint.count):
            found[f"{endpoint.host}:{endpoint.port + offset}"] = f"127.0.0.1:{moved + offset}"
            found[f"localhost:{endpoint.port + offset}"] = f"localhost:{moved + offset}"
    return found


class Translator:
    """Replaces addresses and container folders in texts."""

    def __init__(self, folders: Mapping[str, Path], environ: Mapping[str, str] = os.environ) -> None:
        """Take the folders that stand for a container's, such as `/etc/lookout`."""
        self._table = {**addresses(environ), **{name: str(folder) for name, folder in folders.items()}}
        names = sorted(self._table, key=len, reverse=True)
        # A name stands alone: `my-sink:9823` is another host, `/etc/lookout-old` another folder.
        self._pattern = re.compile(rf"(?<![\w.-])({'|'.join(map(re.escape, names))})(?![\w-])")

    def __call__(self, text: str) -> str:
        """Return the text with every known address and folder replaced."""
        return self._pattern.sub(lambda match: self._table[match[1]], text)
