"""How answers are judged, and conversations with small servers that keep or break the rules of their era."""

import aiohttp
import pytest

from contract.vocabulary import ProbeOutcome
from exporter.exchange import Answer, HttpClient
from exporter.jsonrpc import Result
from exporter.mcp_client import Discovery, NotModern, conversation, read_discover, read_initialize
from exporter.outcome import Failure, Identity, ProbeResult
from exporter.probes import make
from tests.exporter.conftest import Look, target
from tests.exporter.servers import DISCOVERED, Request, answering, http, rpc_error, rpc_result, serving

MODERN = Identity("modern", "2026-07-28")


def answer(status: int, body: str, **headers: str) -> Answer:
    return Answer(status, headers, body.encode())


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, rpc_result(DISCOVERED), Discovery(Identity("modern", "2026-07-28", "small", "1", has_tools=False))),
        (200, rpc_error(-32601), NotModern()),
        (400, rpc_error(-32600, "missing session id", request_id="server-error"), NotModern()),
        (400, rpc_error(-32000, "not initialized", request_id=None), NotModern()),
        (400, "Bad Request", NotModern()),
        (404, "Not Found", NotModern()),
        (405, "", NotModern()),
        (406, "", NotModern()),
        (400, rpc_error(-32022, data={"supported": ["2025-11-25"]}), NotModern()),
        (400, rpc_error(-32022, data={"supported": ["2027-01-01"]}), "server/discover is refused: -32022 no"),
        (400, rpc_error(-32020), "server/discover is refused: -32020 no"),
        (400, rpc_error(-32021), "server/discover is refused: -32021 no"),
        (404, rpc_error(-32601), "server/discover is refused: -32601 no"),
        (200, rpc_result({**DISCOVERED, "supportedVersions": ["2027-01-01"]}), "2026-07-28 is not among"),
        (200, "no JSON", ProbeOutcome.PROTOCOL_ERROR),
        (200, rpc_result({}), ProbeOutcome.PROTOCOL_ERROR),
        (401, rpc_error(-32600), ProbeOutcome.AUTH_ERROR),
        (403, "", ProbeOutcome.AUTH_ERROR),
        (302, "", ProbeOutcome.HTTP_ERROR),
        (500, rpc_error(-32603), ProbeOutcome.HTTP_ERROR),
        (503, "", ProbeOutcome.HTTP_ERROR),
    ],
)
def test_era_is_told_from_the_answer_to_discover(status: int, body: str, expected: object) -> None:
    read = read_discover(answer(status, body))
    if isinstance(expected, ProbeOutcome):
        assert isinstance(read, Failure)
        assert read.outcome is expected
    elif isinstance(expected, str):
        assert isinstance(read, Discovery)
        assert read.warning.startswith(expected)
    else:
        assert read == expected


@pytest.mark.parametrize("info", [None, [], "x", {"name": 3, "version": None}])
def test_server_that_says_nothing_of_itself_is_still_well(info: object) -> None:
    body = rpc_result({**DISCOVERED, "_meta": {"io.modelcontextprotocol/serverInfo": info}})
    read = read_discover(answer(200, body))
    assert isinstance(read, Discovery)
    assert (read.identity.server_name, read.identity.server_version) == ("", "")


def test_initialize_without_version_is_a_protocol_error() -> None:
    read = read_initialize(answer(200, rpc_result({"serverInfo": {}})))
    assert isinstance(read, Failure)
    assert read.outcome is ProbeOutcome.PROTOCOL_ERROR


def test_refused_initialize_says_what_the_server_said() -> None:
    read = read_initialize(answer(400, rpc_error(-32602, "too old")))
    assert read == Failure(ProbeOutcome.PROTOCOL_ERROR, "initialize is refused: -32602 too old")


class LegacyServer:
    """A legacy server in a few lines, whose answers a test can change."""

    def __init__(self, **answers: bytes) -> None:
        self.requests: list[Request] = []
        self.answers = answers

    def __call__(self, request: Request) -> bytes:
        self.requests.append(request)
        method = request.rpc["method"] if request.body else request.method
        if method in self.answers:
            return self.answers[method]
        if method == "server/discover":
            return http(400, rpc_error(-32600, "missing session id"))
        if method == "initialize":
            result = {"protocolVersion": "2025-06-18", "serverInfo": {"name": "old"}, "capabilities": {}}
            return http(200, rpc_result(result), mcp_session_id="session-1")
        return http(202) if method.startswith("notifications/") else http(200, rpc_result({}))

    def methods(self) -> list[str]:
        return [request.rpc["method"] if request.body else request.method for request in self.requests]


HANDSHAKE = ["initialize", "notifications/initialized", "ping", "DELETE"]


async def test_legacy_server_is_asked_in_the_order_of_its_era(look: Look) -> None:
    server = LegacyServer()
    async with serving(answering(server)) as url:
        result = await look(f"{url}/mcp")
    assert result.outcome is ProbeOutcome.OK
    assert server.methods() == ["server/discover", *HANDSHAKE]
    for request in server.requests[2:]:
        assert request.headers["mcp-session-id"] == "session-1"
        assert request.headers["mcp-protocol-version"] == "2025-06-18"
    assert "mcp-session-id" not in server.requests[1].headers


@pytest.mark.parametrize(
    ("method", "reply", "expected"),
    [
        ("initialize", http(200, "garbage", mcp_session_id="s"), ProbeOutcome.PROTOCOL_ERROR),
        ("initialize", http(200, rpc_result({}, 5), mcp_session_id="s"), ProbeOutcome.PROTOCOL_ERROR),
        ("notifications/initialized", http(500), ProbeOutcome.HTTP_ERROR),
        ("ping", http(404), ProbeOutcome.HTTP_ERROR),
        ("ping", http(200, "garbage"), ProbeOutcome.PROTOCOL_ERROR),
        ("ping", http(200, rpc_error(-32601)), ProbeOutcome.DEGRADED),
        ("DELETE", http(405), ProbeOutcome.OK),
        ("DELETE", b"garbage\r\n\r\n", ProbeOutcome.OK),
    ],
)
async def test_session_is_ended_whatever_goes_wrong(
    look: Look, method: str, reply: bytes, expected: ProbeOutcome
) -> None:
    server = LegacyServer(**{method: reply})
    async with serving(answering(server)) as url:
        result = await look(url)
    assert result.outcome is expected, result.detail
    assert server.methods()[-1] == "DELETE"


async def test_session_of_a_server_that_falls_silent_is_ended(look: Look) -> None:
    server = LegacyServer(ping=b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")
    async with serving(answering(server)) as url:
        result = await look(url, timeout=0.3)
    assert result.outcome is ProbeOutcome.TIMEOUT
    assert server.methods() == ["server/discover", *HANDSHAKE]


async def test_slow_end_of_a_session_is_no_fault_of_the_agent(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.mcp_client.END_TIMEOUT_SECONDS", 0.4)
    server = LegacyServer(DELETE=b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")
    async with serving(answering(server)) as url:
        result = await look(url, timeout=0.2)
    assert result.outcome is ProbeOutcome.OK
    assert result.duration_seconds < 0.2


async def test_session_id_that_is_no_header_value_is_not_sent_back(look: Look) -> None:
    initialized = rpc_result({"protocolVersion": "2025-06-18", "capabilities": {}})
    server = LegacyServer(initialize=http(200, initialized, mcp_session_id="s\u00e9ssion"))
    async with serving(answering(server)) as url:
        result = await look(url)
    assert result.outcome is ProbeOutcome.OK
    assert server.methods()[-1] == "ping"


def era(result: ProbeResult) -> str:
    return result.identity.era if result.identity else ""


async def test_era_is_asked_again_after_a_failure(session: aiohttp.ClientSession) -> None:
    server = LegacyServer()
    async with serving(answering(server)) as url:
        probe, http_client = make(target(url)), HttpClient(session, url)
        await probe(http_client, 5)
        server.answers["ping"] = http(500)
        assert (await probe(http_client, 5)).outcome is ProbeOutcome.HTTP_ERROR
        del server.answers["ping"]
        server.requests.clear()
        assert (await probe(http_client, 5)).outcome is ProbeOutcome.OK
    assert server.methods() == ["server/discover", *HANDSHAKE]


async def test_upgrade_from_legacy_to_modern_is_noticed_within_one_probe(session: aiohttp.ClientSession) -> None:
    server = LegacyServer()
    async with serving(answering(server)) as url:
        probe, http_client = make(target(url)), HttpClient(session, url)
        assert era(await probe(http_client, 5)) == "legacy"
        server.answers = {
            "server/discover": http(200, rpc_result(DISCOVERED)),
            "initialize": http(404, rpc_error(-32601)),
        }
        upgraded = await probe(http_client, 5)
    assert (upgraded.outcome, era(upgraded)) == (ProbeOutcome.OK, "modern")


async def test_downgrade_from_modern_to_legacy_is_noticed_within_one_probe(session: aiohttp.ClientSession) -> None:
    server = LegacyServer(**{"server/discover": http(200, rpc_result(DISCOVERED))})
    async with serving(answering(server)) as url:
        probe, http_client = make(target(url)), HttpClient(session, url)
        assert era(await probe(http_client, 5)) == "modern"
        del server.answers["server/discover"]
        assert era(await probe(http_client, 5)) == "legacy"


async def test_tools_come_page_by_page(session: aiohttp.ClientSession) -> None:
    def reply(request: Request) -> bytes:
        if request.rpc["method"] == "server/discover":
            return http(200, rpc_result({**DISCOVERED, "capabilities": {"tools": {}}}))
        number = int(request.rpc["params"].get("cursor", 0))
        page = {"tools": [{"name": f"tool-{number}"}]} | ({"nextCursor": str(number + 1)} if number < 2 else {})
        return http(200, rpc_result(page))

    async with serving(answering(reply)) as url:
        result = await make(target(url))(HttpClient(session, url), 5)
    assert list(result.tools or ()) == ["tool-0", "tool-1", "tool-2"]


@pytest.mark.parametrize(
    ("listing", "detail"),
    [
        (http(200, rpc_result({"tools": [], "nextCursor": "again"})), "no end after 0 tools"),
        (http(200, rpc_result({"tools": "none"})), "no list of tools"),
        (http(200, rpc_result({"tools": [1]})), "no list of tools"),
        (http(200, rpc_error(-32603, "broken")), "error -32603 broken"),
        (http(500), "status 500"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n", "its tools did not"),
    ],
)
async def test_agent_that_cannot_list_its_tools_is_degraded(look: Look, listing: bytes, detail: str) -> None:
    discovered = http(200, rpc_result({**DISCOVERED, "capabilities": {"tools": {}}}))
    replies = {"server/discover": discovered, "tools/list": listing}
    async with serving(answering(lambda request: replies[request.rpc["method"]])) as url:
        result = await look(url, timeout=0.5)
    assert result.outcome is ProbeOutcome.DEGRADED
    assert detail in result.detail
    assert result.identity is not None


async def test_conversation_reads_a_resource(session: aiohttp.ClientSession) -> None:
    server = LegacyServer()
    async with serving(answering(server)) as url, conversation(HttpClient(session, url)) as dialog:
        assert not isinstance(dialog, Failure)
        assert await dialog.call("resources/read", {"uri": "a://b"}) == Result({})
