"""Access tokens by client credentials: fetched once for all callers, and again before they expire."""

import asyncio
import time

import aiohttp

RENEW_AT = 0.75
"""Share of its life after which a token is replaced, so that an outage of the issuer has time to end."""
RETRY_SECONDS = 5.0
"""A renewal that failed is tried again after this long; until then the token at hand serves."""


class NoToken(Exception):
    """The issuer gave no token, and there is none left."""


class TokenSource:
    """Knows the current access token of one client."""

    def __init__(
        self, session: aiohttp.ClientSession, token_url: str, client_id: str, secret: str, resource: str
    ) -> None:
        self._session = session
        self._token_url = token_url
        self._form = {"grant_type": "client_credentials", "resource": resource}
        self._form |= {"client_id": client_id, "client_secret": secret}
        self._lock = asyncio.Lock()
        self._token = ""
        self._renew_at = 0.0
        self._expires_at = 0.0

    async def current(self) -> str:
        """Return a token that holds; raises NoToken."""
        async with self._lock:
            if time.monotonic() >= self._renew_at:
                await self._renew()
            return self._token

    def discard(self, token: str) -> None:
        """Forget a token that was refused, so that the next call fetches another."""
        if token == self._token:
            self._renew_at = self._expires_at = 0.0

    async def _renew(self) -> None:
        now = time.monotonic()
        try:
            async with self._session.post(self._token_url, data=self._form, raise_for_status=True) as response:
                answer = await response.json()
            self._token, lifetime = str(answer["access_token"]), float(answer["expires_in"])
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
            if now >= self._expires_at:
                raise NoToken(f"{self._token_url} gave no token: {error}") from error
            self._renew_at = now + RETRY_SECONDS
        else:
            self._renew_at, self._expires_at = now + lifetime * RENEW_AT, now + lifetime
