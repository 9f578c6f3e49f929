"""Which measurements lead to their trace."""

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence

from contract.tracing import Span

EVERY_SECONDS = 1.0


class Exemplars:
    """Chooses one exemplar a second for each series and bucket: a scrape takes one of each, and each has its price."""

    def __init__(self, buckets: Sequence[float], clock: Callable[[], float] = time.monotonic) -> None:
        """Take a histogram's buckets and a monotonic clock in seconds."""
        self._buckets = buckets
        self._clock = clock
        self._chosen: dict[tuple[object, int], float] = {}

    def of(self, series: object, seconds: float, span: Span) -> dict[str, str] | None:
        """Return the labels that lead from a series' measurement of so many seconds to its span, or None."""
        place, now = (series, bisect_left(self._buckets, seconds)), self._clock()
        if now - self._chosen.get(place, -EVERY_SECONDS) < EVERY_SECONDS:
            return None
        self._chosen[place] = now
        return span.exemplar
