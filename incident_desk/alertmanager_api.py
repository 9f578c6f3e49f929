"""The Alertmanager next door: asked for the state of its alerts, told of escalations."""

from collections.abc import Sequence
from typing import Any

import aiohttp

from incident_desk import alerts

PATH = "/api/v2/alerts"
BATCH = 500
"""Alerts in one request."""
MAX_BYTES = 256 * 1024 * 1024
"""Size of a list beyond which it is not read."""


class UnreachableError(Exception):
    """Alertmanager did not answer as it should; the message says how."""


async def read(session: aiohttp.ClientSession, url: str, timeout_seconds: float) -> alerts.Read:
    """Return every alert that has not ended. Raises UnreachableError."""
    timeout = aiohttp.ClientTimeout(timeout_seconds)
    try:
        async with session.get(url.rstrip("/") + PATH, timeout=timeout, allow_redirects=False) as answer:
            if answer.status != 200:
                raise UnreachableError(f"{url} answers {answer.status}")
            body = await answer.content.read(MAX_BYTES + 1)
            while not answer.content.at_eof() and len(body) <= MAX_BYTES:
                body += await answer.content.read(MAX_BYTES + 1 - len(body))
        return alerts.of_list(body)
    except alerts.MalformedError as error:
        raise UnreachableError(f"{url} answers something else than alerts: {error}") from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise UnreachableError(f"{url} cannot be asked: {error or type(error).__name__}") from None


async def post(
    session: aiohttp.ClientSession, url: str, timeout_seconds: float, told: Sequence[dict[str, Any]]
) -> None:
    """Tell Alertmanager of alerts. Raises UnreachableError."""
    timeout = aiohttp.ClientTimeout(timeout_seconds)
    try:
        for start in range(0, len(told), BATCH):
            batch = told[start : start + BATCH]
            async with session.post(
                url.rstrip("/") + PATH, json=batch, timeout=timeout, allow_redirects=False
            ) as answer:
                if answer.status != 200:
                    raise UnreachableError(f"{url} refuses: {answer.status} {(await answer.text())[:200]}")
    except (aiohttp.ClientError, TimeoutError, OSError, UnicodeDecodeError) as error:
        raise UnreachableError(f"{url} cannot be told: {error or type(error).__name__}") from None
