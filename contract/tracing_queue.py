"""Where ended spans wait: bounded, emptied in batches by a thread of its own, and nobody waits for it.

Set as the SDK's BatchSpanProcessor is (OTEL_BSP_*), of which a request would feel the price.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

Item = TypeVar("Item")


class BatchQueue(Generic[Item]):
    """Hands on what it is given, in batches, when one is full or the oldest has waited long enough."""

    def __init__(self, send: Callable[[list[Item]], None], *, limit: int, batch: int, delay_seconds: float) -> None:
        """Take what sends a batch; at most `limit` items wait, besides those that are being sent."""
        self._send = send
        self._limit, self._batch, self._delay = limit, batch, delay_seconds
        self._waiting: deque[Item] = deque()
        self._being_sent = 0
        self._is_closing = False
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._work, name="spans", daemon=True)
        self._thread.start()

    def put(self, item: Item) -> bool:
        """Take an item, from any thread; False, and it is not taken, when as many as may wait."""
        waiting = self._waiting
        if len(waiting) >= self._limit:
            return False
        waiting.append(item)
        if len(waiting) >= self._batch and not self._woken.is_set():
            self._woken.set()
        return True

    def close(self, seconds: float) -> int:
        """Have everything sent, for at most so long, and return how many items were not."""
        self._is_closing = True
        self._woken.set()
        self._thread.join(seconds)
        return len(self._waiting) + self._being_sent

    def _work(self) -> None:
        while not self._is_closing:
            is_full = self._woken.wait(self._delay)
            self._woken.clear()
            self._empty(self._batch if is_full else 1)
        self._empty(1)

    def _empty(self, least: int) -> None:
        """Send batches while so many items wait."""
        while len(self._waiting) >= least:
            self._being_sent = min(len(self._waiting), self._batch)
            try:
                self._send([self._waiting.popleft() for _ in range(self._being_sent)])
            except Exception:
                logger.exception("a batch of spans is lost")
            self._being_sent = 0
