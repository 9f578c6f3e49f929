"""What tracing costs the sidecar: the same decisions and calls with a tenth sampled and without, in turns."""

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.gateways import OURS, Gateways
from bench.load import Asking, Contender, Turns, take_turns
from bench.report import Measure, compared
from bench.sidecar import ASKED, CALL, CALL_HEADERS

TRACED = "a tenth traced"
AT_LEAST = 1 / 1.05
"""A request may cost 5 % more."""
PAIRS, ROUNDS = 4, 7
"""Two processes of one program differ by as much as is looked for, by where their memory lies; so there are several."""


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
        plain, traced = [], []
        for number in range(PAIRS):
            plain.append(stack.enter_context(gateways.sidecar(behind, f"{OURS} {number}")))
            traced.append(stack.enter_context(gateways.sidecar(behind, f"{TRACED} {number}", environ)))
        token = gateways.tokens[:1]
        cases = {
            "calls through the proxy": (0, Asking(token, CALL_HEADERS, body=CALL)),
            "decisions, repeated token": (1, Asking(token, {"Host": "localhost", **ASKED})),
            "decisions, another token each": (1, Asking(gateways.tokens, {"Host": "localhost", **ASKED})),
        }
        for name, (port, asking) in cases.items():
            turns = take_turns([one[port] for pair in zip(plain, traced, strict=True) for one in pair], asking, ROUNDS)
            ours, theirs = (_speeds(turns, [one[port] for one in side]) for side in (traced, plain))
            yield compared(f"{name}, {TRACED}", ours, "/CPU s", OURS, theirs)._replace(at_least=AT_LEAST)
        for one in traced:
            _demand_spans(one[0])


def _speeds(turns: Turns, contenders: Sequence[Contender]) -> list[float]:
    return [speed for one in contenders for speed in turns.of("per_cpu_second", one.name)]


def _demand_spans(traced: Contender) -> None:
    """Raise RuntimeError when spans were dropped or none sent: then something else was measured."""
    text = traced.program.get("/metrics").decode()
    spans = {result: float(n) for result, n in re.findall(r'mcp_trace_spans_total{result="(\w+)".*} (\S+)', text)}
    if not spans.get("exported") or spans["queue_full"] or spans["export_failed"]:
        raise RuntimeError(f"not every span was sent: {spans}")
