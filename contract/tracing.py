"""Traces over OTLP; without an endpoint in the environment nothing is imported, traced or slower.

`setup` returns a service's tracer, None when tracing is off. Whether a request is sampled is decided by two numbers
before anything of its span is made; ended spans go to `contract/tracing_otlp.py`. Trace context: W3C, https://www.w3.org/TR/trace-context/.
"""

import logging
import math
import os
import random
import re
import sys
import time
from collections.abc import Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import NamedTuple, Protocol

from contract import tracing_settings
from contract.instruments import Instruments
from contract.tracing_settings import Sampling

logger = logging.getLogger(__name__)

TRACEPARENT = "traceparent"
"""The header, and the bare key of `params._meta` (MCP 2026-07-28, SEP-414), that carry the context."""
CLOSE_SECONDS = 3.0
"""How long the end of a service may wait for its last spans to be sent."""
TOGETHER_SECONDS = 0.001
"""New traces that begin so close together are recorded all or none: what is done for one is then in the caches for all.

The share is the same as if each were drawn alone.
"""
REQUEST_ID = "jsonrpc.request.id"
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")

Attribute = str | int | float | bool


class Parent(NamedTuple):
    """A caller's span."""

    trace_id: int
    span_id: int
    is_sampled: bool


def parse(traceparent: object) -> Parent | None:
    """Return the caller's span that a `traceparent` names, None when it names none."""
    match = _FORM.fullmatch(traceparent) if isinstance(traceparent, str) else None
    if match is None or match[1] == "ff" or (match[1] == "00" and match[5]):
        return None
    trace_id, span_id = int(match[2], 16), int(match[3], 16)
    return Parent(trace_id, span_id, bool(int(match[4], 16) & 1)) if trace_id and span_id else None


def plain_id(message_id: object) -> str:
    """Return a request's id as a span may carry it: an integer or a UUID (RFC 9562) as text, else nothing.

    Clients choose ids: any other text may be a name, an address or a key.
    """
    is_plain = type(message_id) is int or (isinstance(message_id, str) and _UUID.fullmatch(message_id))
    return str(message_id) if is_plain else ""


class Span:
    """One piece of work; only a sampled one is ever sent. `attributes` may be added to until it ends."""

    __slots__ = (
        "attributes", "ended", "is_error", "is_sampled", "kind", "name", "parent", "span", "started", "trace",
    )  # fmt: skip

    def __init__(self, parent: Parent | None, trace: int, *, is_sampled: bool) -> None:
        self.parent = parent
        self.trace = trace
        self.span = random.getrandbits(64) or 1
        self.is_sampled = is_sampled
        self.is_error = False
        self.name = self.kind = ""
        self.attributes: dict[str, Attribute] = {}
        self.started = self.ended = 0

    @property
    def trace_id(self) -> str:
        """The id of the trace, as logs, audit records and exemplars carry it."""
        return self.trace.to_bytes(16, "big").hex()

    @property
    def traceparent(self) -> str:
        """What is handed on to whoever is asked in this span."""
        return f"00-{self.trace:032x}-{self.span:016x}-{'01' if self.is_sampled else '00'}"

    @property
    def exemplar(self) -> dict[str, str]:
        """The labels of an exemplar that leads here."""
        return {"trace_id": self.trace_id}


class Outlet(Protocol):
    """Where ended spans go."""

    def send(self, span: Span) -> None:
        """Take a span without waiting for anything."""

    def count_on(self, instruments: Instruments) -> None:
        """Count from now on what becomes of spans."""

    def close(self, seconds: float) -> None:
        """Send what is left, for at most so long."""


class Tracer:
    """Makes the spans of a service."""

    def __init__(self, outlet: Outlet, sampling: Sampling) -> None:
        self.outlet = outlet
        self._follows_caller, self._bound = sampling
        self._drawn, self._is_drawn = -math.inf, False

    def sampled(self, traceparent: object, now: float) -> Span | None:
        """Begin a span below the caller's; None, at hardly any cost, when it is not to be recorded.

        `now` is of `time.perf_counter`.
        """
        parent = parse(traceparent) if traceparent else None
        if parent and self._follows_caller:
            if not parent.is_sampled:
                return None
        else:
            # Not by the caller's id, as TraceIdRatioBased does it: whoever is not followed could choose by that too.
            if now - self._drawn >= TOGETHER_SECONDS:
                self._drawn, self._is_drawn = now, random.getrandbits(64) < self._bound
            if not self._is_drawn:
                return None
        # Our own ids are below the bound, so that whoever samples by the id's lower half agrees.
        own = 0 if parent else random.getrandbits(64) << 64 | random.getrandbits(64) * self._bound >> 64
        span = Span(parent, parent.trace_id if parent else own or 1, is_sampled=True)
        span.started = time.time_ns()
        return span

    def end(self, span: Span, name: str, kind: str, *, is_error: bool = False) -> None:
        """Send a span that began as sampled; `kind` is server, client or internal."""
        span.name, span.kind, span.is_error, span.ended = name, kind, is_error, time.time_ns()
        self.outlet.send(span)

    @contextmanager
    def span(self, name: str, kind: str = "internal", **attributes: Attribute) -> Iterator[Span]:
        """Run a block in a span below the running one; attribute names have `__` for a dot."""
        above = _running.get()
        span = None
        if above is None or above.is_sampled:
            span = self.sampled(above and above.traceparent, time.perf_counter())
        span = span or _unsampled(above)
        token = _running.set(span)
        try:
            yield span
        except BaseException as error:
            span.attributes.setdefault("error.type", type(error).__qualname__)
            span.is_error = True
            raise
        finally:
            _running.reset(token)
            if span.is_sampled:
                span.attributes.update({key.replace("__", "."): value for key, value in attributes.items()})
                self.end(span, name, kind, is_error=span.is_error)

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Send what is left, for at most so long."""
        self.outlet.close(seconds)


def spanning(
    tracer: Tracer | None, name: str, kind: str = "internal", **attributes: Attribute
) -> AbstractContextManager[Span | None]:
    """Return `Tracer.span` of a tracer, and what does nothing where there is none."""
    return tracer.span(name, kind, **attributes) if tracer else nullcontext()


_running: ContextVar[Span | None] = ContextVar("running_span", default=None)


def not_recorded() -> str:
    """Return a `traceparent` that tells whoever is asked not to record either."""
    return f"00-{random.getrandbits(128) or 1:032x}-{random.getrandbits(64) or 1:016x}-00"


def _unsampled(above: Span | None = None) -> Span:
    return Span(None, above.trace if above else random.getrandbits(128) or 1, is_sampled=False)


def running() -> Span | None:
    """Return the span that `Tracer.span` runs this code in."""
    return _running.get()


def inject(carrier: MutableMapping[str, str]) -> None:
    """Add the running span's context to headers or `params._meta`."""
    span = _running.get()
    if span:
        carrier[TRACEPARENT] = span.traceparent


def current_trace_id() -> str:
    """Return the trace id of the running span as 32 hex digits, empty when there is none or it is not recorded."""
    span = _running.get()
    if span:
        return span.trace_id if span.is_sampled else ""
    # Only where tracing is on the module has been imported.
    outlet = sys.modules.get("contract.tracing_otlp")
    return str(outlet.trace_id_of_libraries()) if outlet else ""


def setup(service: str, *, for_libraries: bool = False) -> Tracer | None:
    """Return what traces this process to the configured endpoint; None, and nothing imported, where there is none.

    `for_libraries` also takes the spans that libraries make by themselves, such as the MCP SDK's. Raises ConfigError
    when the environment asks for what cannot be done.
    """
    settings = tracing_settings.read()
    if settings is None:
        return None
    for warning in settings.warnings:
        logger.warning("an OTEL_ variable cannot be used", extra={"problem": warning})
    for variable in settings.unusable:
        os.environ.pop(variable, None)  # the SDK reads the environment too
    from contract.tracing_otlp import OtlpOutlet

    return Tracer(OtlpOutlet(service, settings, for_libraries=for_libraries), settings.sampling)
