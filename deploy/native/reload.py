"""How a running service is told to read its configuration again, and whether it did."""

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from deploy.native import process
from deploy.native.process import Record

# The stack listens on loopback: a proxy of the environment must not come between.
_opener = build_opener(ProxyHandler({}))


class RefusedError(Exception):
    """The service keeps its configuration; the message says why, and is empty where only its log does."""


@dataclass(frozen=True)
class Post:
    """`POST` to the service's own address, whose answer says whether the configuration was taken."""

    url: str
    token: Path | None = None
    """File of the token that the service asks for."""

    def __call__(self, _record: Record) -> None:
        """Let the service read again. Raises RefusedError."""
        try:
            headers = {"Authorization": f"Bearer {self.token.read_text().strip()}"} if self.token else {}
            _opener.open(Request(self.url, headers=headers, method="POST"), timeout=30).close()  # noqa: S310
        except HTTPError as error:
            raise RefusedError(error.read().decode(errors="replace").strip()) from error
        except OSError as error:
            raise RefusedError(str(error)) from error


@dataclass(frozen=True)
class HangUp:
    """SIGHUP, after which the service's metrics tell what became of it.

    For Prometheus, whose `POST /-/reload` comes together with `/-/quit` for every page in the user's browser.
    """

    metrics: str
    """URL of the service's metrics."""
    prefix: str
    """What the names of its `…_config_last_reload_…` metrics begin with."""
    patience_seconds: float = 15.0

    def __call__(self, record: Record) -> None:
        """Let the service read again and wait for the outcome. Raises RefusedError."""
        before = self._outcome()
        process.send(record, signal.SIGHUP)
        deadline = time.monotonic() + self.patience_seconds
        while (after := self._outcome()) == before:
            if time.monotonic() > deadline:
                raise RefusedError
            time.sleep(0.05)
        if not after[0]:
            raise RefusedError

    def _outcome(self) -> tuple[float, float]:
        """Return whether the last reload succeeded, and when the last good one was."""
        names = [f"{self.prefix}_config_last_reload_{name}" for name in ("successful", "success_timestamp_seconds")]
        found = dict(self._samples())
        return found.get(names[0], 0.0), found.get(names[1], 0.0)

    def _samples(self) -> Iterator[tuple[str, float]]:
        try:
            with _opener.open(self.metrics, timeout=10) as response:
                lines = response.read().decode().splitlines()
        except OSError as error:
            raise RefusedError(str(error)) from error
        for line in lines:
            name, _, value = line.partition(" ")
            if name.startswith(f"{self.prefix}_config_last_reload_"):
                yield name, float(value)
