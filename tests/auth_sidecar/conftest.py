"""Fixtures of the sidecar's tests: identity provider, server behind, sidecar; all real, on free ports."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from auth_sidecar.app import Sidecar
from contract.tracing import Tracer
from tests.auth_sidecar import sidecars
from tests.auth_sidecar.agents import Echo
from tests.auth_sidecar.issuer import Idp

# How long an example takes says more about the machine than about the code.
settings.register_profile("sidecar", deadline=None)
settings.load_profile("sidecar")


@pytest.fixture
async def idp() -> AsyncIterator[Idp]:
    """A running identity provider."""
    running = await Idp().start()
    yield running
    await running.stop()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    """A running server behind that keeps what it is sent."""
    running = await Echo().start()
    yield running
    await running.stop()


@pytest.fixture
async def start_sidecar(tmp_path: Path, idp: Idp, echo: Echo) -> AsyncIterator[sidecars.Start]:
    """Starts sidecars in front of the echo server, or of `upstream=`; the other arguments change the configuration."""
    running: list[Sidecar] = []

    async def start(upstream: str | None = None, tracer: Tracer | None = None, **changed: Any) -> Sidecar:
        config = sidecars.configuration(idp.url, upstream or echo.url, **changed)
        running.append(await sidecars.start(sidecars.write(tmp_path, config), tracer))
        return running[-1]

    yield start
    for sidecar in running:
        await sidecar.close()


@pytest.fixture
async def sidecar(start_sidecar: sidecars.Start) -> Sidecar:
    """A running sidecar in front of the echo server."""
    return await start_sidecar()
