"""The intruder: sends bad tokens of every kind to the sidecar, one after the other, until it is stopped."""

import asyncio
import contextlib
import itertools
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from demo import wire
from demo.idp.clients import ELSEWHERE

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 2.0
LEEWAY_SECONDS = 75
"""After this long past its end a token is expired for every sidecar, however lenient its clock."""


class Intruder:
    """Knows a client secret of its own, the token endpoint and a protected address; nothing of it gives a right."""

    def __init__(
        self, target: str, token_url: str, secret: str, resource: str, interval_seconds: float = INTERVAL_SECONDS
    ) -> None:
        self._target = target
        self._token_url = token_url
        self._secret = secret
        self._resource = resource
        self._interval_seconds = interval_seconds
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._short_lived: tuple[str, float] | None = None
        self._task: asyncio.Task[None] | None = None
        self.answers: Counter[str] = Counter()

    async def start(self) -> None:
        """Begin to knock."""
        self.answers.clear()
        self._task = asyncio.create_task(self._knock())

    async def stop(self) -> None:
        """Go away."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def report(self) -> dict[str, Any]:
        """Return how many tokens were sent, and how they were answered by HTTP status."""
        return {"sent": self.answers.total(), "answers": dict(self.answers), "target": self._target}

    async def _knock(self) -> None:
        kinds: tuple[Callable[[aiohttp.ClientSession], Awaitable[str]], ...] = (
            self._forged,
            self._misdirected,
            self._malformed,
            self._unsigned,
            self._expired,
            self._missing,
        )
        timeout = aiohttp.ClientTimeout(total=5)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            for make in itertools.cycle(kinds):
                self.answers[await self._send(session, make)] += 1
                await asyncio.sleep(self._interval_seconds)

    async def _send(
        self, session: aiohttp.ClientSession, make: Callable[[aiohttp.ClientSession], Awaitable[str]]
    ) -> str:
        """Return the status of the answer; an intruder does not give up because a door is closed."""
        try:
            header = await make(session)
            headers, body = wire.request("start_workflow", {"run_id": "0", "workflow": "none"}, "intruder")
            headers |= {"Authorization": header} if header else {}
            async with session.post(self._target, json=body, headers=headers) as response:
                return str(response.status)
        except (aiohttp.ClientError, TimeoutError) as error:
            logger.warning("bad token could not be sent", extra={"problem": str(error)})
            return "unreachable"

    async def _forged(self, _session: aiohttp.ClientSession) -> str:
        return f"Bearer {jwt.encode(self._claims(300), self._key, 'RS256', headers={'typ': 'at+jwt'})}"

    async def _unsigned(self, _session: aiohttp.ClientSession) -> str:
        return f"Bearer {jwt.encode(self._claims(300), '', 'none')}"

    async def _malformed(self, _session: aiohttp.ClientSession) -> str:
        return "Bearer this-is-not-a-token"

    async def _missing(self, _session: aiohttp.ClientSession) -> str:
        return ""

    async def _misdirected(self, session: aiohttp.ClientSession) -> str:
        return f"Bearer {await self._issued(session, ELSEWHERE)}"

    async def _expired(self, session: aiohttp.ClientSession) -> str:
        """Return a genuine token whose second has passed; until there is one, a forged one."""
        if self._short_lived is None:
            self._short_lived = (await self._issued(session, self._resource), time.monotonic())
        token, issued = self._short_lived
        return f"Bearer {token}" if time.monotonic() - issued > LEEWAY_SECONDS else await self._forged(session)

    async def _issued(self, session: aiohttp.ClientSession, resource: str) -> str:
        form = {"grant_type": "client_credentials", "resource": resource}
        form |= {"client_id": "intruder", "client_secret": self._secret}
        async with session.post(self._token_url, data=form, raise_for_status=True) as response:
            return str((await response.json())["access_token"])

    def _claims(self, seconds: int) -> dict[str, Any]:
        issuer = self._token_url.removesuffix("/token")
        now = int(time.time())
        return {"iss": issuer, "sub": "intruder", "aud": self._resource, "iat": now, "exp": now + seconds, "jti": "0"}
