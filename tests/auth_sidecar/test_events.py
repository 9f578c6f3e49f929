"""Streams of events: read as the standard says, at whatever byte they are torn; ids belong to who was given them."""

import asyncio
import itertools
import re
import time

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from auth_sidecar.app import Sidecar
from auth_sidecar.events import MAX_ID_BYTES, EventReader, IdSealer, TooLargeError, data_of, fields
from tests.auth_sidecar.agents import Echo
from tests.auth_sidecar.issuer import mint
from tests.auth_sidecar.sidecars import call, post

ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
LINES = st.sampled_from([
    b"id: 7", b"id:7", b"id", b"id:", b"id: ", b"idle: 7", b"data: id: 7", b"data", b": id: 7", b"i", b"", b"id: \xff",
])  # fmt: skip
TEXTS = st.lists(st.tuples(LINES, ENDS).map(b"".join), max_size=12).map(b"".join)


def torn(text: bytes, cuts: list[int]) -> list[bytes]:
    """Return a text in pieces."""
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[start:end] for start, end in itertools.pairwise(places)]


def by_the_standard(text: bytes) -> list[bytes]:
    """Return the data of the events that a client dispatches."""
    found, data = [], list[bytes]()
    for line in re.split(rb"\r\n|\r|\n", text)[:-1]:
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
        elif not line and data:
            found.append(b"\n".join(data))
            data = []
    return found


@given(TEXTS, st.lists(st.integers(0, 200), max_size=6))
def test_events_are_those_of_the_standard_wherever_a_stream_is_torn(text: bytes, cuts: list[int]) -> None:
    reader = EventReader(1000)
    events = [event for piece in torn(text, cuts) for event in reader.feed(piece)]
    dispatched = [data_of(found) for found in map(fields, events) if any(name == b"data" for name, _ in found)]
    assert dispatched == by_the_standard(text)
    assert text.startswith(b"".join(events))


@given(TEXTS, st.lists(st.integers(0, 200), max_size=6))
def test_only_ids_change_wherever_a_stream_is_torn(text: bytes, cuts: list[int]) -> None:
    sealer = IdSealer(lambda event: event + b".sealed")
    passed = b"".join([*map(sealer.feed, torn(text, cuts)), sealer.end()])
    assert passed == re.sub(rb"(?:(?<=[\r\n])|\A)id: ?(7|\xff)(?=[\r\n])", rb"id: \1.sealed", text)


def test_nothing_waits_for_the_end_of_its_line_but_an_id() -> None:
    sealer = IdSealer(lambda _: b"sealed")
    long = b"a" * MAX_ID_BYTES
    pieces = [b"data: 1", b"\ni", b"d", b": 7", b"\ni", b"t: x\nid: ", long, b"b\nid: 8\n"]
    passed = [b"data: 1", b"\n", b"", b"", b"id: sealed\n", b"it: x\n", b"id: " + long, b"b\nid: sealed\n"]
    assert [sealer.feed(piece) for piece in pieces] == passed


def test_a_long_event_in_small_pieces_costs_no_more_than_its_length() -> None:
    def seconds(size: int) -> float:
        reader, started = EventReader(size + 100), time.process_time()
        for _ in range(size // 1024):
            reader.feed(b"x" * 1024)
        assert len(reader.feed(b"\n\n")) == 1
        return time.process_time() - started

    once = min(seconds(1 << 20) for _ in range(3))
    assert seconds(16 << 20) < 100 * once + 0.05  # 256 times as much, were it quadratic


def test_an_event_without_end_is_given_up() -> None:
    reader = EventReader(1000)
    assert [reader.feed(b"x" * 100) for _ in range(10)] == [[]] * 10
    with pytest.raises(TooLargeError):
        reader.feed(b"x")


async def _streaming(echo: Echo, body: bytes) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers={"Content-Type": "text/event-stream"})

    echo.answer = answer


async def _resumed(sidecar: Sidecar, token: str, event: str, path: str = "/kb/mcp", **headers: str) -> int:
    headers |= {"Authorization": f"Bearer {token}", "Last-Event-ID": event}
    async with (
        aiohttp.ClientSession() as session,
        session.get(sidecar.url + path, headers=headers) as response,
    ):
        return response.status


async def test_nobody_goes_on_where_somebody_else_has_stopped(sidecar: Sidecar, echo: Echo) -> None:
    await _streaming(echo, b"id: stream-1/4\ndata: {}\n\n")
    _, _, body = await post(sidecar, mint(sub="alice"), call("search_knowledge"))
    event = body.decode().partition("\n")[0].removeprefix("id: ")
    assert await _resumed(sidecar, mint(sub="alice"), event) == 200
    assert echo.seen[-1]["headers"]["Last-Event-ID"] == "stream-1/4"
    seen = len(echo.seen)
    for foreign in (event, "stream-1/4", event.replace("/4", "/3"), event[:-1], ".", "", "é"):
        assert await _resumed(sidecar, mint(sub="bob"), foreign) == 404
    for forged in ("stream-1/4", event.replace("/4", "/3"), event[:-1], event + "0"):
        assert await _resumed(sidecar, mint(sub="alice"), forged) == 404
    assert len(echo.seen) == seen


async def test_the_seal_of_a_session_is_none_of_an_event(sidecar: Sidecar, echo: Echo) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": {}}, headers={"Mcp-Session-Id": "s-1"})

    echo.answer = answer
    _, headers, _ = await post(sidecar, mint(), {"jsonrpc": "2.0", "id": 1, "method": "initialize"})
    assert await _resumed(sidecar, mint(), headers["Mcp-Session-Id"]) == 404


async def test_events_with_ids_pass_as_they_come(sidecar: Sidecar, echo: Echo) -> None:
    gate = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"id: 1\ndata:\n\n")
        await gate.wait()
        await response.write(b"data: 2\n\n")
        return response

    echo.answer = stream
    headers = {"Authorization": f"Bearer {mint()}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{sidecar.url}/kb/mcp", json=call("search_knowledge"), headers=headers) as response,
        asyncio.timeout(5),
    ):
        assert (await response.content.readuntil(b"\n\n")).endswith(b"\ndata:\n\n")
        gate.set()
        assert await response.content.read() == b"data: 2\n\n"
