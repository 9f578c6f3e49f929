"""A body's trace context is replaced where that is provably the only change, and else the body stays."""

import json

import pytest

from auth_sidecar.operations import Action, read_body
from auth_sidecar.spans import handed_on
from contract.tracing import Span, parse

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def message(**params: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x", **params}}).encode()


def rewritten(body: bytes, **headers: str) -> tuple[bytes, Span]:
    action = read_body(body, {})
    assert isinstance(action, Action)
    parent = parse(CALLER)
    assert parent
    span = Span(parent, parent.trace_id, is_sampled=True)
    return handed_on(body, action, span, headers), span


def test_our_span_takes_the_callers_place_and_nothing_else_changes() -> None:
    body = message(arguments={"a": [1, 2.50, "ü"]}, _meta={"traceparent": CALLER, "tracestate": "x=1"})
    changed, span = rewritten(body)
    assert changed == body.replace(CALLER.encode(), span.traceparent.encode())
    assert len(changed) == len(body)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(message(arguments={"copy": CALLER}, _meta={"traceparent": CALLER}), id="stands there twice"),
        pytest.param(
            message(arguments={"copy": CALLER}, _meta={"traceparent": CALLER}).replace(
                b'"traceparent": "00-0af7', b'"traceparent": "00-0\\u0061f7'
            ),
            id="is written with an escape, and plainly in an argument",
        ),
        pytest.param(message(_meta={"traceparent": CALLER.upper()}), id="is none"),
        pytest.param(message(_meta={"traceparent": [CALLER]}), id="is no text"),
        pytest.param(message(arguments={"_meta": {"traceparent": CALLER}}), id="stands elsewhere"),
        pytest.param(message(), id="is not there"),
        pytest.param(message(_meta={"traceparent": "01" + CALLER[2:] + "-more"}), id="has another length"),
    ],
)
def test_a_body_stays_where_the_context(body: bytes) -> None:
    assert rewritten(body)[0] == body


@pytest.mark.parametrize("header", ["content-digest", "signature", "digest", "repr-digest"])
def test_a_body_that_something_vouches_for_stays(header: str) -> None:
    body = message(_meta={"traceparent": CALLER})
    assert rewritten(body, **{header: "x"})[0] == body
