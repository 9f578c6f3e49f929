"""A scrape finds a trace in every bucket in which there was one; no more of them are kept than that takes."""

from auth_sidecar.exemplars import Exemplars
from contract.tracing import Span


def test_each_series_and_bucket_leads_to_a_trace_once_a_second() -> None:
    now = 100.0
    chosen = Exemplars((0.1, 1.0), lambda: now)
    one, other = Span(None, 1, is_sampled=True), Span(None, 2, is_sampled=True)
    assert chosen.of("proxy", 0.05, one) == {"trace_id": f"{1:032x}"}
    assert chosen.of("proxy", 0.1, other) is None
    # Slower ones, and other series, have theirs.
    assert chosen.of("proxy", 0.5, other) == chosen.of("proxy", 5.0, other) == {"trace_id": f"{2:032x}"}
    assert chosen.of("forward_auth", 0.05, other) == {"trace_id": f"{2:032x}"}
    now = 101.0
    assert chosen.of("proxy", 0.05, other) == {"trace_id": f"{2:032x}"}
