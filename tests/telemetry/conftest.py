"""Fixtures: a receiver that this process' outlets send to at once, and tracers whose spans arrive there."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from contract import tracing_settings
from contract.tracing import Tracer
from contract.tracing_otlp import OtlpOutlet
from contract.tracing_settings import Sampling
from tests.auth_sidecar.conftest import echo, idp, start_sidecar
from tests.telemetry.otlp import Receiver

__all__ = ["echo", "idp", "start_sidecar"]

MakeTracer = Callable[..., Tracer]


@pytest.fixture
async def receiver(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Receiver]:
    """A running receiver, named in this process' environment."""
    running = await Receiver().start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1000")
    yield running
    await running.stop()


@pytest.fixture
def make_tracer(receiver: Receiver) -> Iterator[MakeTracer]:
    """Makes tracers by the name of their service; the share that is sampled is 1 unless given."""
    made: list[Tracer] = []

    def make(service: str, share: float = 1.0) -> Tracer:
        settings = tracing_settings.read()
        assert settings
        made.append(Tracer(OtlpOutlet(service, settings), Sampling(True, round(share * (1 << 64)))))
        return made[-1]

    yield make
    for tracer in made:
        tracer.close(1.0)
