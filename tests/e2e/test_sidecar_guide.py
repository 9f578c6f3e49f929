"""The commands of the sidecar's guide do what it says, as somebody types them, one after the other."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.ports import ENDPOINTS
from tests.e2e.stack import Stack, free_ports, running

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("sink", "idp", "agents", "sidecar")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with running(tmp_path, free_ports(), only=NEEDED) as stack:
        yield stack


def commands(stack: Stack, folder: Path) -> str:
    """Return the guide's commands, with the addresses and folders of this stack."""
    [chapter] = re.findall(r"^## See it work$(.*?)^## ", (ROOT / "docs/auth-sidecar.md").read_text(), re.M | re.S)
    text = "".join(re.findall(r"^```sh$(.*?)^```$", chapter, re.M | re.S))
    for name, endpoint in ENDPOINTS.items():
        text = text.replace(f"http://localhost:{endpoint.port}", stack.url(name))
    assert "localhost" not in text
    return text.replace(".lookout/", f"{folder}/").replace(".venv/bin/python", str(ROOT / ".venv/bin/python"))


def test_a_token_is_got_used_refused_explained_found_in_the_log_and_taken_back(stack: Stack, tmp_path: Path) -> None:
    script = commands(stack, tmp_path)
    typed = subprocess.run(["bash", "-ec", script], cwd=tmp_path, text=True, stdout=subprocess.PIPE, check=True).stdout
    wanted = (
        r'"result":.*\n200\n.*\n403\n'
        r".*no role grants.*"
        r'"event":"authz_deny".*"name":"search_knowledge".*'
        r"^whole: records 1 to \d+, .*\n"
        r"revoked\n"
        r".*\n401\n$"
    )
    assert re.search(wanted, typed, re.M | re.S), typed
