"""Server-sent events: the same events however the stream is cut."""

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.sse import EventParser

STREAM = (
    b"\xef\xbb\xbf: a comment\r\n\r\nevent: message\r\ndata: first\r\n\r\n"
    b"data:no blank\ndata:  two blanks\n\nid: 7\nretry: 10\n\ndata\rdata: after a bare name\r\rdata: cut off"
)
EVENTS = [b"first", b"no blank\n two blanks", b"\nafter a bare name"]


def test_events_are_read_as_the_standard_says() -> None:
    assert EventParser().feed(STREAM) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_the_cut_does_not_matter(cuts: list[int]) -> None:
    parser, ends = EventParser(), sorted({0, *cuts, len(STREAM)})
    chunks = [STREAM[start:end] for start, end in pairwise(ends)]
    assert [data for chunk in chunks for data in parser.feed(chunk)] == EVENTS


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_counts(end: bytes) -> None:
    found = EventParser().feed(b"data: x" + end + end + b"data: y" + end + end + b":")
    assert found == [b"x", b"y"]


def test_event_without_data_is_none() -> None:
    assert EventParser().feed(b"event: ping\n\n: keep-alive\n\n") == []


def test_carriage_return_at_the_end_of_a_chunk_waits_for_its_line_feed() -> None:
    parser = EventParser()
    assert parser.feed(b"data: x\r") == []
    assert parser.feed(b"\n\r") == []
    assert parser.feed(b"\n") == [b"x"]


def test_endless_line_costs_no_more_than_its_bytes() -> None:
    parser, started = EventParser(), time.process_time()
    assert parser.feed(b"data: " + b"x" * 3_900_000) == []
    for _ in range(100_000):
        assert parser.feed(b"y") == []
    (data,) = parser.feed(b"\n\n")
    assert len(data) == 4_000_000
    assert time.process_time() - started < 2, "copying the line for every chunk took minutes"
