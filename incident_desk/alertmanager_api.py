"""The Alertmanagers next door: asked for the state of their alerts, told of escalations."""

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import aiohttp

from contract.log import RateLimit
from incident_desk import alerts
from incident_desk.config import Alertmanager

LIST = "/api/v2/alerts"
GROUPS = "/api/v2/alerts/groups"
BATCH = 500
"""Alerts in one request."""
MAX_BYTES = 256 * 1024 * 1024
"""Size of a list beyond which it is not read."""

logger = logging.getLogger(__name__)
logger.addFilter(RateLimit())


class UnreachableError(Exception):
    """No Alertmanager answered as it should; the message says how."""


class Alertmanagers:
    """One Alertmanager, or the members of a cluster: each of them is told, as Prometheus does, and one is asked."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._answered = ""
        """Who did last is asked first."""

    async def read(self, config: Alertmanager) -> alerts.Read:
        """Return every alert that has not ended, by the word of the first that answers. Raises UnreachableError."""
        problems = list[str]()
        for url in sorted(config.urls, key=lambda url: url != self._answered):
            try:
                found = await self._read(url, config)
            except UnreachableError as error:
                problems.append(str(error))
                logger.warning("Alertmanager does not answer", extra={"problems": problems})
            else:
                self._answered = url
                return found
        raise UnreachableError("; ".join(problems))

    async def post(self, config: Alertmanager, told: Sequence[dict[str, Any]]) -> None:
        """Tell every Alertmanager of alerts. Raises UnreachableError when none of them takes them."""
        answers = await asyncio.gather(*(self._post(url, config, told) for url in config.urls))
        problems = [problem for problem in answers if problem]
        if problems:
            logger.warning("Alertmanager was not told", extra={"problems": problems})
        if len(problems) == len(answers):
            raise UnreachableError("; ".join(problems))

    async def _read(self, url: str, config: Alertmanager) -> alerts.Read:
        try:
            found = alerts.of_list(await self._get(url + LIST, config))
            # Only groups tell what a time interval mutes. The desk's route is muted when all channels of an alert are.
            own = {"receiver": re.escape(config.receiver)}
            muted = alerts.muted(await self._get(url + GROUPS, config, own))
        except alerts.MalformedError as error:
            raise UnreachableError(f"{url} answers something else than alerts: {error}") from None
        seen = (replace(each, is_suppressed=each.is_suppressed or each.fingerprint in muted) for each in found.alerts)
        return found._replace(alerts=tuple(seen))

    async def _get(self, url: str, config: Alertmanager, params: Mapping[str, str] | None = None) -> bytes:
        timeout = aiohttp.ClientTimeout(config.timeout)
        try:
            async with self._session.get(url, params=params, timeout=timeout, allow_redirects=False) as answer:
                if answer.status != 200:
                    raise UnreachableError(f"{url} answers {answer.status}")
                body = await answer.content.read(MAX_BYTES + 1)
                while not answer.content.at_eof() and len(body) <= MAX_BYTES:
                    body += await answer.content.read(MAX_BYTES + 1 - len(body))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnreachableError(f"{url} cannot be asked: {error or type(error).__name__}") from None
        if len(body) > MAX_BYTES:
            raise UnreachableError(f"{url} answers more than {MAX_BYTES} bytes")
        return body

    async def _post(self, url: str, config: Alertmanager, told: Sequence[dict[str, Any]]) -> str:
        """Return why an Alertmanager did not take alerts; empty when it did."""
        timeout = aiohttp.ClientTimeout(config.timeout)
        try:
            for start in range(0, len(told), BATCH):
                batch = told[start : start + BATCH]
                async with self._session.post(url + LIST, json=batch, timeout=timeout, allow_redirects=False) as answer:
                    if answer.status != 200:
                        said = (await answer.content.read(200)).decode(errors="replace")
                        return f"{url} refuses: {answer.status} {said}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return f"{url} cannot be told: {error or type(error).__name__}"
        return ""
