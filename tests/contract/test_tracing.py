"""Without an endpoint nothing is imported; with one that is down nobody waits, and what is dropped is counted."""

import asyncio
import json
import logging
import os
import subprocess
import sys
import time

import pytest
from prometheus_client import CollectorRegistry

from contract import tracing
from contract.instruments import Instruments
from contract.ports import free_port
from contract.tracing import Parent, Tracer
from contract.tracing_settings import Sampling

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PROGRAM = """
import io, json, logging, sys
from contract import log, tracing
stream = io.StringIO()
log.setup("exporter", stream=stream)
tracer = tracing.setup("exporter")
with tracing.spanning(tracer, "tools/call create_plan", "client"):
    logging.getLogger("x").info("inside")
    carrier = {}
    tracing.inject(carrier)
print(json.dumps([carrier, json.loads(stream.getvalue()).get("trace_id"), "opentelemetry" in sys.modules]))
if tracer:
    tracer.close(1)
"""


async def run(**environ: str) -> tuple[int, str]:
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, env={**quiet, **environ}, stdout=subprocess.PIPE
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_without_an_endpoint_opentelemetry_is_not_even_imported() -> None:
    assert await run() == (0, "[{}, null, false]\n")


@pytest.mark.parametrize("off", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}], ids=str)
async def test_the_standard_variables_turn_tracing_off(off: dict[str, str]) -> None:
    assert await run(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", **off) == (0, "[{}, null, false]\n")


async def test_an_endpoint_that_is_down_ends_nothing_and_the_end_is_bounded() -> None:
    began = time.monotonic()
    code, out = await run(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}")
    assert code == 0
    assert time.monotonic() - began < 8
    carrier, logged, is_imported = json.loads(out)
    assert carrier["traceparent"].split("-")[1] == logged
    assert is_imported


def make_tracer(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Tracer:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1000")
    tracer = tracing.setup("sidecar")
    assert tracer
    return tracer


def test_what_does_not_fit_the_queue_and_what_cannot_be_sent_is_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    tracer = make_tracer(f"http://127.0.0.1:{free_port()}", monkeypatch)
    instruments = Instruments(CollectorRegistry(), "sidecar")
    tracer.outlet.count_on(instruments)
    began = time.monotonic()
    for _ in range(200):
        with tracer.span("x"):
            pass
    assert time.monotonic() - began < 0.5
    tracer.close(5)

    def count(result: str) -> float:
        return (
            instruments.registry.get_sample_value("mcp_trace_spans_total", {"service": "sidecar", "result": result})
            or 0.0
        )

    assert count("queue_full") >= 180
    assert count("queue_full") + count("export_failed") == 200
    assert count("exported") == 0


@pytest.mark.parametrize(
    "text",
    [
        "", "x", None, 7, b"bytes",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        CALLER + "-more",
        CALLER + "\n",
    ],
)  # fmt: skip
def test_what_is_no_context_is_no_parent(text: object) -> None:
    assert tracing.parse(text) is None


def test_a_context_of_this_and_of_a_later_version_is_a_parent() -> None:
    expected = Parent(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, True)
    assert tracing.parse(CALLER) == tracing.parse("01" + CALLER[2:] + "-more") == expected
    assert tracing.parse(CALLER[:-2] + "00") == expected._replace(is_sampled=False)


@pytest.mark.parametrize(
    ("message_id", "shown"),
    [
        (7, "7"),
        (-7, "-7"),
        ("550e8400-e29b-41d4-a716-446655440000", "550e8400-e29b-41d4-a716-446655440000"),
        ("550E8400-E29B-41D4-A716-446655440000", "550E8400-E29B-41D4-A716-446655440000"),
        ("550e8400e29b41d4a716446655440000", ""),
        ("550e8400-e29b-41d4-a716-446655440000\n", ""),
        ("alice-smith", ""),
        ("15551234567", ""),
        (True, ""),
        (7.5, ""),
        (None, ""),
    ],
)
def test_an_id_is_shown_when_it_is_an_integer_or_a_uuid(message_id: object, shown: str) -> None:
    assert tracing.plain_id(message_id) == shown


def test_a_tenth_is_a_tenth_and_callers_are_followed() -> None:
    tracer = Tracer(None, Sampling(True, round(0.1 * (1 << 64))))  # type: ignore[arg-type]
    begun = [span for span in (tracer.sampled(None, now) for now in range(10_000)) if span]
    assert 800 < len(begun) < 1200
    # Whoever samples by the id alone, as the SDK's TraceIdRatioBased does, takes just these too.
    assert all(span.trace % (1 << 64) < 0.1 * (1 << 64) for span in begun)
    assert len({span.trace for span in begun}) == len(begun)
    assert all(tracer.sampled(CALLER, now) for now in range(100))
    assert not any(tracer.sampled(CALLER[:-2] + "00", now) for now in range(100))


def test_a_caller_who_is_not_followed_chooses_neither_by_his_flag_nor_by_his_id() -> None:
    low = f"00-{1:032x}-b7ad6b7169203331-01"
    never, half = (Tracer(None, Sampling(False, bound)) for bound in (0, 1 << 63))  # type: ignore[arg-type]
    assert not any(never.sampled(low, now) for now in range(100))
    taken = [span for span in (half.sampled(low, now) for now in range(1000)) if span]
    assert 400 < len(taken) < 600
    assert {span.trace for span in taken} == {1}


def test_what_begins_within_a_millisecond_is_recorded_together_and_the_share_stays() -> None:
    tracer = Tracer(None, Sampling(True, 1 << 63))  # type: ignore[arg-type]
    together = [{tracer.sampled(None, tick * 0.0011) is not None for _ in range(5)} for tick in range(1000)]
    assert all(len(answers) == 1 for answers in together)
    assert 400 < together.count({True}) < 600


def test_whoever_is_called_in_a_span_that_is_not_sampled_is_told_so() -> None:
    tracer = Tracer(None, Sampling(True, 0))  # type: ignore[arg-type]
    with tracer.span("outer") as outer, tracer.span("inner") as inner:
        carrier: dict[str, str] = {}
        tracing.inject(carrier)
        assert carrier["traceparent"] == inner.traceparent
        assert carrier["traceparent"].endswith("-00")
        assert inner.trace_id == outer.trace_id
        assert tracing.current_trace_id() == ""
