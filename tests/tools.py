"""The real programs that tests run: Prometheus and its relatives of both supported ends, and a legacy MCP SDK."""

from functools import cache
from pathlib import Path

import pytest

from deploy.native import apt, packages


@cache
def tool(name: str, release: packages.Release = "new") -> Path:
    """Return a program of the named release, fetching it first where it is missing.

    Skips the test where neither the PATH nor a Debian mirror has it; a mirror that fails is an error.
    """
    if release == "old" and apt.mirror() is None:
        pytest.skip(f"the old release of {name} comes from Debian packages, and this machine has no Debian mirror")
    try:
        return packages.locate(name, release)
    except packages.MissingProgramError as error:
        if apt.mirror() is not None:
            raise
        pytest.skip(str(error))
