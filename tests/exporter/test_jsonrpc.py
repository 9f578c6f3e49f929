"""JSON-RPC as MCP uses it: requests as the specification wants them, answers read into values."""

import base64

import orjson
import pytest

from exporter.jsonrpc import (
    Result,
    RpcError,
    Unreadable,
    header_value,
    is_response,
    legacy_message,
    modern_message,
    read_response,
    text_of,
)

META = "io.modelcontextprotocol/"


def test_modern_request_carries_its_metadata_and_mirrors_it_into_headers() -> None:
    headers, body = modern_message("tools/call", {"name": "add", "arguments": {}})
    message = orjson.loads(body)
    assert message["params"]["_meta"][f"{META}protocolVersion"] == headers["MCP-Protocol-Version"] == "2026-07-28"
    assert message["params"]["_meta"][f"{META}clientCapabilities"] == {}
    assert message["method"] == headers["Mcp-Method"] == "tools/call"
    assert headers["Mcp-Name"] == message["params"]["name"] == "add"
    assert "application/json" in headers["Accept"]
    assert "text/event-stream" in headers["Accept"]


def test_resource_is_named_by_its_uri() -> None:
    assert (
        modern_message("resources/read", {"uri": "workflow://statistics"}).headers["Mcp-Name"]
        == "workflow://statistics"
    )


def test_request_without_a_name_has_no_name_header() -> None:
    assert "Mcp-Name" not in modern_message("tools/list").headers


@pytest.mark.parametrize("name", ["grüße", " padded ", "a\nb", "=?base64?eA==?="])
def test_name_that_no_header_can_hold_is_sent_as_base64(name: str) -> None:
    value = header_value(name)
    assert value.startswith("=?base64?")
    assert base64.b64decode(value.removeprefix("=?base64?").removesuffix("?=")).decode() == name


def test_notification_has_no_id() -> None:
    assert orjson.loads(legacy_message("notifications/initialized", is_notification=True).body) == {
        "jsonrpc": "2.0",
        "method": "notifications/initialized",
    }


def test_result_is_read() -> None:
    assert read_response(b'{"jsonrpc":"2.0","id":1,"result":{"a":1}}') == Result({"a": 1})


def test_error_is_read_with_its_data() -> None:
    body = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"no\\u0000","data":{"supported":[]}}}'
    assert read_response(body) == RpcError(-32022, "no", {"supported": []})


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "not a JSON-RPC"),
        (b'{"id":1,"result":{}}', "not a JSON-RPC"),
        (b'{"jsonrpc":"2.0","id":2,"result":{}}', "id"),
        (b'{"jsonrpc":"2.0","id":null,"result":{}}', "id"),
        (b'{"jsonrpc":"2.0","id":1}', "neither result nor error"),
        (b'{"jsonrpc":"2.0","id":1,"result":[]}', "neither result nor error"),
        (b'{"jsonrpc":"2.0","id":1,"error":{"code":"x"}}', "no code"),
    ],
)
def test_anything_else_is_unreadable_and_says_why(body: bytes, why: str) -> None:
    read = read_response(body)
    assert isinstance(read, Unreadable)
    assert why in read.detail


def test_error_answer_need_not_carry_our_id() -> None:
    body = b'{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"session"}}'
    assert read_response(body, is_id_checked=False) == RpcError(-32600, "session")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"jsonrpc":"2.0","id":1,"result":{}}', True),
        (b'{"jsonrpc":"2.0","id":9,"error":{}}', True),
        (b'{"jsonrpc":"2.0","method":"notifications/message"}', False),
        (b'{"jsonrpc":"2.0","id":5,"method":"ping"}', False),
        (b"garbage", True),
    ],
)
def test_server_messages_in_a_stream_are_told_from_the_response(data: bytes, expected: bool) -> None:
    assert is_response(data) is expected


def test_foreign_text_is_cut_and_made_printable() -> None:
    assert text_of("a\x1b[31mb\u202ec" + "x" * 100) == "a[31mbc" + "x" * 55
    assert text_of(7) == ""
