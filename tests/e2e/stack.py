"""A running stack on free ports whose clocks run fast: real programs, the demo's configuration, shorter waits."""

import json
import os
import re
import signal
import time
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import ProxyHandler, Request, build_opener

from contract.fields import format_duration, parse_duration
from contract.ports import ENDPOINTS, free_port
from deploy.native import process
from deploy.native.layout import Layout
from deploy.native.packages import fetch_missing
from deploy.native.runner import Runner
from deploy.native.services import NEEDED, Table
from tests.checkout import demo_checkout

HASTE = 15
"""How much shorter than committed the waiting times are; ranges of queries stay as they are."""

_WAITS = (
    *("for", "keep_firing_for", "group_wait", "group_interval"),
    *("scrape_interval", "scrape_timeout", "evaluation_interval", "interval", "timeout"),
)
_WAIT = re.compile(rf"^(?P<key>[ -]*(?:{'|'.join(_WAITS)}): )(?P<time>\w+)\b", re.MULTILINE)

_opener = build_opener(ProxyHandler({}))


def hasten(text: str) -> str:
    """Shorten every waiting time of a configuration file, to a second at the least."""
    return _WAIT.sub(lambda match: match["key"] + _shorter(match["time"]), text)


def _shorter(duration: str) -> str:
    return format_duration(max(1.0, round(parse_duration(duration) / HASTE)))


def free_ports() -> Mapping[str, str]:
    """Return environment variables that move every endpoint to ports that are free now, all in one row."""
    endpoints = list(ENDPOINTS.values())
    ends = list(accumulate(endpoint.count for endpoint in endpoints))
    first = free_port(ends[-1])
    return {endpoint.variable: str(first + end - endpoint.count) for endpoint, end in zip(endpoints, ends, strict=True)}


class Stack:
    """The running stack, as a user reaches it."""

    def __init__(self, table: Table, runner: Runner) -> None:
        self._table = table
        self.runner = runner

    def url(self, endpoint: str, path: str = "") -> str:
        """Return the URL of an endpoint of contract.ports."""
        return self._table.url(endpoint, path)

    def json(self, endpoint: str, path: str) -> Any:
        """Return what an endpoint answers to GET, as JSON."""
        return json.loads(get(self.url(endpoint, path))[1])

    def post(self, endpoint: str, path: str, content: Any) -> Any:
        """Send JSON to an endpoint and return its answer."""
        headers = {"Content-Type": "application/json"}
        asked = Request(self.url(endpoint, path), json.dumps(content).encode(), headers, method="POST")  # noqa: S310
        with _opener.open(asked, timeout=10) as response:
            return response.read().decode()

    def acknowledge(self, number: int, by: str) -> None:
        """Take an incident on, as its page's form does."""
        form = urlencode({"incident": number, "by": by}).encode()
        _opener.open(Request(self.url("incident_desk", "/acknowledge"), form), timeout=10).close()  # noqa: S310

    def kill(self, name: str) -> None:
        """Kill a service on the spot, as a lack of memory would."""
        record = process.recall(self.runner.records)[name]
        os.kill(record.pid, signal.SIGKILL)
        assert process.wait_for_end(record, 10)

    def start(self, name: str) -> None:
        """Start a service that has ended."""
        self.runner.up([service for service in self._table.services() if service.name == name])

    def fault(self, name: str, *, broken: bool) -> None:
        """Break or heal something, as `make demo-break` and `make demo-heal` do."""
        method = "POST" if broken else "DELETE"
        _opener.open(Request(self.url("demo_control", f"/faults/{name}"), method=method), timeout=10).close()  # noqa: S310

    def sample(self, query: str) -> float | None:
        """Return the value of an instant query with one sample, None when it has none."""
        found = self.json("prometheus", f"/api/v1/query?query={quote(query, safe='')}")["data"]["result"]
        return float(found[0]["value"][1]) if found else None


def get(url: str) -> tuple[int, str]:
    """Return status and text of a page, also of an error."""
    try:
        with _opener.open(url, timeout=10) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Return the condition's first true value; fail with `what` and the last value when the time is over."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}; last: {value!r}"
        time.sleep(0.2)
    return value


@contextmanager
def running(
    folder: Path,
    environ: Mapping[str, str],
    only: Container[str] | None = None,
    adapt: Callable[[Layout], None] = lambda layout: None,
    pace: Callable[[str], str] = hasten,
) -> Iterator[Stack]:
    """Run the whole stack, or only some services, below a folder and end it afterwards.

    `pace` rewrites the waiting times of each configuration file (`str` leaves them as committed), `adapt` edits files.
    """
    layout = Layout(folder / "native", demo_checkout(folder / "checkout"))
    fetch_missing(NEEDED)
    layout.write(environ)
    for file in (*layout.etc.rglob("*.yaml"), *layout.etc.rglob("*.yml")):
        file.write_text(pace(file.read_text(encoding="utf-8")), encoding="utf-8")
    adapt(layout)
    table, runner = Table(layout, environ), Runner(layout.state)
    try:
        names = [service.name for service in table.services() if service.name != "grafana"]
        runner.up([service for service in table.services() if service.name in (names if only is None else only)])
        yield Stack(table, runner)
    finally:
        runner.down()
