"""How long `make generate` takes, from policies and receivers to rules, routes and dashboards."""

import subprocess
import time
from collections.abc import Iterator

from bench.report import Measure, measured

TURNS = 5
AT_MOST_SECONDS = 2.0


def run() -> Iterator[Measure]:
    """Measure the command as a person waits for it."""
    turns = [_seconds() for _ in range(TURNS)]
    yield measured("make generate", turns, "s", {})._replace(at_most=AT_MOST_SECONDS)


def _seconds() -> float:
    start = time.perf_counter()
    subprocess.run(["make", "generate"], check=True, stdout=subprocess.DEVNULL)  # noqa: S607
    return time.perf_counter() - start
