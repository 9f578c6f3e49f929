"""What several tests of the demo start from: secrets, sessions, a wait with a bound."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

SLACK_PATH = "/services/TABCDEFGHI/BABCDEFGHI/abcdefghijklmnopqrstuvwx"
ROUTING_KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """Return a folder with every secret of the demo."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    values = {
        "slack_url": f"http://sink:9823{SLACK_PATH}",
        "pagerduty_routing_key": ROUTING_KEY,
        "idp_client_workflow_engine": "engine secret: +/=%&",
        "idp_client_exporter": "exporter-secret",
        "idp_client_intruder": "intruder-secret",
    }
    for name, value in values.items():
        (folder / name).write_text(f"{value}\n", encoding="utf-8")
    return folder


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Return when the condition is true; fail when it is not within the time."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
