"""What waits is bounded, goes out in batches or after a while, and whoever ends it waits only so long."""

import threading
import time
from collections.abc import Callable

import pytest

from contract.tracing_queue import BatchQueue


class Sent:
    """Where batches go; `gate` holds them up."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def __call__(self, batch: list[int]) -> None:
        self.entered.set()
        self.gate.wait(10)
        if -1 in batch:
            raise ValueError("no number")
        self.batches.append(batch)

    def until(self, is_so: Callable[[list[list[int]]], bool]) -> None:
        end = time.monotonic() + 10
        while not is_so(self.batches):
            assert time.monotonic() < end, self.batches
            self.entered.wait(0.01)


def test_a_full_batch_goes_at_once_and_the_rest_at_the_end() -> None:
    sent = Sent()
    queue = BatchQueue(sent, limit=100, batch=4, delay_seconds=60)
    assert all(queue.put(number) for number in range(6))
    sent.until(lambda batches: bool(batches))
    assert sent.batches == [[0, 1, 2, 3]]
    assert queue.close(10) == 0
    assert sent.batches == [[0, 1, 2, 3], [4, 5]]


def test_what_is_alone_waits_no_longer_than_the_delay() -> None:
    sent = Sent()
    queue = BatchQueue(sent, limit=100, batch=4, delay_seconds=0.02)
    queue.put(7)
    sent.until(lambda batches: batches == [[7]])
    assert queue.close(10) == 0


def test_no_more_wait_than_may_and_the_end_tells_what_was_not_sent() -> None:
    sent = Sent()
    sent.gate.clear()
    queue = BatchQueue(sent, limit=5, batch=2, delay_seconds=60)
    assert [queue.put(0), queue.put(1)] == [True, True]
    assert sent.entered.wait(10)
    assert [queue.put(number) for number in range(7)] == [True] * 5 + [False] * 2
    assert queue.close(0.05) == 7
    sent.gate.set()
    sent.until(lambda batches: sum(map(len, batches)) == 7)


def test_a_batch_that_fails_is_told_and_the_next_one_goes(caplog: pytest.LogCaptureFixture) -> None:
    sent = Sent()
    queue = BatchQueue(sent, limit=100, batch=1, delay_seconds=60)
    queue.put(-1)
    queue.put(5)
    assert queue.close(10) == 0
    assert sent.batches == [[5]]
    assert [record.message for record in caplog.records] == ["a batch of spans is lost"]


def test_of_many_threads_everything_is_sent_once() -> None:
    sent = Sent()
    queue = BatchQueue(sent, limit=100_000, batch=64, delay_seconds=0.01)

    def put(first: int) -> None:
        for number in range(first, first + 5_000):
            assert queue.put(number)

    threads = [threading.Thread(target=put, args=(5_000 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert queue.close(10) == 0
    assert sorted(number for batch in sent.batches for number in batch) == list(range(20_000))
    assert max(map(len, sent.batches)) == 64
