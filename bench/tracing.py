"""What tracing costs the sidecar: the same decisions and calls with a tenth sampled and without, in turns."""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench.gateways import OURS, Gateways
from bench.load import Asking, Contender, take_turns
from bench.report import Measure, compared
from bench.sidecar import ASKED, CALL, CALL_HEADERS

TRACED = "a tenth traced"
AT_LEAST = 1 / 1.05
"""A request may cost 5 % more."""
ROUNDS = 21
"""The difference is a tenth of what disturbs a single round."""


def run() -> Iterator[Measure]:
    """Compare what a request costs the sidecar itself, sending its spans included."""
    if len(os.sched_getaffinity(0)) < 2:
        print("tracing: needs two cores, one for the load", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        gateways = Gateways(Path(temporary))
        collector, behind = stack.enter_context(gateways.server())
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.program.url,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.1",
        }
        plain = stack.enter_context(gateways.sidecar(behind))
        traced = stack.enter_context(gateways.sidecar(behind, TRACED, environ))
        one = gateways.tokens[:1]
        cases = {
            "calls through the proxy": (0, Asking(one, CALL_HEADERS, body=CALL)),
            "decisions, repeated token": (1, Asking(one, {"Host": "localhost", **ASKED})),
            "decisions, another token each": (1, Asking(gateways.tokens, {"Host": "localhost", **ASKED})),
        }
        for name, (port, asking) in cases.items():
            turns = take_turns([plain[port], traced[port]], asking, ROUNDS)
            field = "per_cpu_second"
            row = compared(f"{name}, {TRACED}", turns.of(field, TRACED), "/CPU s", OURS, turns.of(field, OURS))
            yield row._replace(at_least=AT_LEAST)
        _demand_spans(traced[0])


def _demand_spans(traced: Contender) -> None:
    """Raise RuntimeError when spans were dropped or none sent: then something else was measured."""
    text = traced.program.get("/metrics").decode()
    spans = {result: float(n) for result, n in re.findall(r'mcp_trace_spans_total{result="(\w+)".*} (\S+)', text)}
    if not spans.get("exported") or spans["queue_full"] or spans["export_failed"]:
        raise RuntimeError(f"not every span was sent: {spans}")
