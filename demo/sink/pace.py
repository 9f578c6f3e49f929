"""Slack's pace: about one message a second to a webhook, short bursts allowed."""

import math
import time


class Pace:
    """A bucket of `burst` messages that fills at `per_second`."""

    def __init__(self, per_second: float = 1.0, burst: int = 30) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._left = self._burst
        self._at = time.monotonic()

    def wait_seconds(self) -> int:
        """Take one message from the bucket; return 0, or how long to wait when it is empty."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return max(1, math.ceil((1 - self._left) / self._per_second))
        self._left -= 1
        return 0
