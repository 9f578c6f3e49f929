"""Bearer tokens for probes: from a file, or by OAuth client credentials (RFC 6749, section 4.4)."""

import asyncio
import base64
import time
from collections.abc import Callable
from typing import Protocol
from urllib.parse import quote_plus

import aiohttp
import orjson

from contract.fields import SecretFile
from contract.vocabulary import ProbeOutcome
from exporter.config import OAuthCredentials
from exporter.outcome import Failure

REREAD_SECONDS = 10.0
"""How long a token file's content, or a failure to get a token, is taken for granted."""
MAX_TOKEN_ANSWER_BYTES = 64 * 1024
FETCH_TIMEOUT_SECONDS = 10.0
DEFAULT_LIFETIME_SECONDS = 300.0
"""Assumed where a token answer has no expires_in."""

Clock = Callable[[], float]


class TokenSource(Protocol):
    """Gives the Authorization header of requests."""

    async def header(self) -> str | Failure | None:
        """Return the header's value, None when there is none to send."""

    def reject(self) -> None:
        """Learn that a server refused the token."""


class NoToken:
    """Sends no Authorization header."""

    async def header(self) -> None:
        """Return nothing."""

    def reject(self) -> None:
        """Do nothing."""


NO_TOKEN = NoToken()


class FileToken:
    """A bearer token kept in a file by somebody else; read again from time to time."""

    def __init__(self, secret: SecretFile, clock: Clock = time.monotonic) -> None:
        self._secret = secret
        self._clock = clock
        self._header = ""
        self._read_at = float("-inf")

    async def header(self) -> str | Failure:
        """Return the header for the file's present content."""
        if self._clock() - self._read_at >= REREAD_SECONDS:
            try:
                self._header = f"Bearer {self._secret.read()}"
            except (OSError, ValueError) as error:
                return Failure(ProbeOutcome.AUTH_ERROR, f"no token: {error}")
            self._read_at = self._clock()
        return self._header

    def reject(self) -> None:
        """Read the file anew next time."""
        self._read_at = float("-inf")


class ClientCredentialsToken:
    """An access token by client credentials, shared by all agents that use it; renewed before it expires."""

    def __init__(self, config: OAuthCredentials, session: aiohttp.ClientSession, clock: Clock = time.monotonic) -> None:
        self._config = config
        self._session = session
        self._clock = clock
        self._lock = asyncio.Lock()
        self._current: str | Failure = ""
        self._fetched_at = self._renew_at = float("-inf")

    async def header(self) -> str | Failure:
        """Return the header for a valid token, fetching one when needed; only one fetch at a time."""
        if self._clock() >= self._renew_at:
            async with self._lock:
                if self._clock() >= self._renew_at:
                    await self._renew()
        return self._current

    def reject(self) -> None:
        """Fetch a new token next time, unless this one is brand new."""
        if self._clock() - self._fetched_at >= REREAD_SECONDS:
            self._renew_at = float("-inf")

    async def _renew(self) -> None:
        lifetime = REREAD_SECONDS
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_SECONDS):
                status, body = await self._fetch()
            token, lifetime = read_token_answer(status, body)
            self._current = f"Bearer {token}"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reason = str(error) or type(error).__name__
            self._current = Failure(ProbeOutcome.AUTH_ERROR, f"no token from {self._config.token_url}: {reason}"[:300])
        self._fetched_at = self._clock()
        self._renew_at = self._fetched_at + max(lifetime * 0.8, 1.0)

    async def _fetch(self) -> tuple[int, bytes]:
        form, headers = token_request(self._config)
        async with self._session.post(
            self._config.token_url, data=form, headers=headers, allow_redirects=False
        ) as response:
            body = bytearray()
            while (chunk := await response.content.readany()) and len(body) <= MAX_TOKEN_ANSWER_BYTES:
                body += chunk
            return response.status, bytes(body)


def token_request(config: OAuthCredentials) -> tuple[dict[str, str], dict[str, str]]:
    """Return form and headers of the token request; `client_auth` says where the secret goes (RFC 6749, 2.3.1)."""
    form = {"grant_type": "client_credentials"}
    for name in ("scope", "resource", "audience"):
        if value := getattr(config, name):
            form[name] = value
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    secret = config.client_secret_file.read()
    if config.client_auth == "post":
        form |= {"client_id": config.client_id, "client_secret": secret}
    else:
        pair = f"{quote_plus(config.client_id)}:{quote_plus(secret)}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return form, headers


def read_token_answer(status: int, body: bytes) -> tuple[str, float]:
    """Return access token and lifetime in seconds. Raises ValueError when there is no usable token."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ValueError(f"status {status}, and not JSON") from None
    if not isinstance(answer, dict):
        raise ValueError(f"status {status}, and not an object")
    token = answer.get("access_token")
    if status != 200 or not isinstance(token, str) or not (token.isascii() and token.isprintable() and token):
        raise ValueError(f"status {status}, error {str(answer.get('error'))[:60]}")
    lifetime = answer.get("expires_in", DEFAULT_LIFETIME_SECONDS)
    return token, float(lifetime) if isinstance(lifetime, int | float) else DEFAULT_LIFETIME_SECONDS
