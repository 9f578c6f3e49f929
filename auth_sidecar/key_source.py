"""Where an issuer's keys come from and how fresh they are: on a schedule, once more for an unknown id, never a storm.

While the issuer is down the last good keys stay in force up to a configured age; after that there are none.
"""

import asyncio
import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from auth_sidecar import strict_json
from auth_sidecar.keys import KeySet, parse_jwks
from contract.instruments import Instruments

logger = logging.getLogger(__name__)

MAX_DOCUMENT_BYTES = 1 << 20
"""Largest JWKS or discovery document that is read."""
FETCH_TIMEOUT_SECONDS = 5.0
RETRY_SECONDS = 5.0
"""Wait after a failed fetch."""

Fetch = Callable[[], Awaitable[bytes]]


class KeySource:
    """The keys of one issuer. `current()` is synchronous and cheap; everything slow happens in `refresh()`."""

    def __init__(
        self,
        issuer: str,
        fetch: Fetch,
        instruments: Instruments,
        *,
        ttl_seconds: float = 300.0,
        refetch_seconds: float = 10.0,
        max_stale_seconds: float = 3600.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare a source for the issuer of that configured name; nothing is fetched yet."""
        self.issuer = issuer
        self._fetch = fetch
        self._ttl = ttl_seconds
        self._refetch = refetch_seconds
        self._max_stale = max_stale_seconds
        self._clock = clock
        self._keys: KeySet | None = None
        self._fetched_at = self._refetched_at = float("-inf")
        self._running: asyncio.Task[bool] | None = None
        self._listeners: list[Callable[[], None]] = []
        self._when = instruments.child("mcp_auth_jwks_last_refresh_timestamp_seconds", issuer)
        self._results = {
            result: instruments.child("mcp_auth_jwks_refreshes_total", issuer, result)
            for result in ("success", "failure")
        }

    def current(self) -> KeySet | None:
        """Return the keys in force, None while there are none or the last good ones have grown too old."""
        if self._clock() - self._fetched_at > self._ttl + self._max_stale:
            return None
        return self._keys

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever the keys have become others, or have grown too old."""
        self._listeners.append(listener)

    def may_refetch(self) -> bool:
        """Whether an unknown key id may cause a fetch now: at most one in `refetch_seconds`."""
        return self._running is not None or self._clock() - self._refetched_at >= self._refetch

    async def refetch(self) -> bool:
        """Fetch the keys because of one nobody knows; call it only after `may_refetch()`."""
        if self._running is None:
            self._refetched_at = self._clock()
        return await self.refresh()

    async def refresh(self) -> bool:
        """Fetch the keys now, or wait for the fetch under way; returns whether it succeeded."""
        if self._running is None:
            self._running = asyncio.ensure_future(self._refresh())
            self._running.add_done_callback(self._ended)
        return await asyncio.shield(self._running)

    async def keep_fresh(self) -> None:
        """Fetch the keys again and again until cancelled; the first fetch is the caller's."""
        while True:
            age = self._clock() - self._fetched_at
            await asyncio.sleep(max(self._ttl - age, min(RETRY_SECONDS, self._ttl)))
            await self.refresh()

    def _ended(self, _task: asyncio.Task[bool]) -> None:
        self._running = None

    async def _refresh(self) -> bool:
        try:
            keys = parse_jwks(await self._fetch())
        except (OSError, ValueError, aiohttp.ClientError, TimeoutError) as error:
            self._results["failure"].inc()
            logger.warning("keys could not be fetched", extra={"issuer": self.issuer, "problem": describe(error)})
            if self._keys and not self.current():
                self._tell()  # whom they let in is let in no more
            return False
        changed = self._keys is None or keys.fingerprint != self._keys.fingerprint
        self._keys, self._fetched_at = keys, self._clock()
        self._results["success"].inc()
        self._when.set(self._fetched_at)
        if changed:
            logger.info("keys in force", extra={"issuer": self.issuer, "key_ids": sorted(keys.by_id)})
            self._tell()
        return True

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


def describe(error: BaseException) -> str:
    """Return an error in words; some exceptions have none of their own."""
    return str(error) or type(error).__name__


def from_file(path: Path) -> Fetch:
    """Return a fetch that reads a JWKS file."""

    async def read() -> bytes:
        return await asyncio.to_thread(path.read_bytes)

    return read


def from_url(session: aiohttp.ClientSession, url: str) -> Fetch:
    """Return a fetch that gets a JWKS from a configured URL."""
    return lambda: get(session, url)


def from_discovery(session: aiohttp.ClientSession, issuer: str, *, allow_http: bool) -> Fetch:
    """Return a fetch that follows OpenID Connect Discovery 1.0 from the issuer to its keys."""

    async def discover() -> bytes:
        document = strict_json.parse_object(
            await get(session, issuer.rstrip("/") + "/.well-known/openid-configuration")
        )
        if document.get("issuer") != issuer:
            raise ValueError("the discovery document names another issuer")
        url = document.get("jwks_uri")
        if not isinstance(url, str) or not url.startswith(("https://", "http://") if allow_http else "https://"):
            raise ValueError("the discovery document names no usable jwks_uri")
        if urlsplit(url).hostname != urlsplit(issuer).hostname and _is_inner(urlsplit(url).hostname or ""):
            raise ValueError("the discovery document leads to an address inside")
        return await get(session, url)

    return discover


def _is_inner(host: str) -> bool:
    """Whether a host is this machine or an address that is not public; the issuer's own may be."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host in ("", "localhost") or host.endswith(".localhost")


async def get(session: aiohttp.ClientSession, url: str) -> bytes:
    """Return the body of a 200 answer; redirects are not followed and size is bounded."""
    timeout = aiohttp.ClientTimeout(total=FETCH_TIMEOUT_SECONDS)
    async with session.get(url, allow_redirects=False, timeout=timeout) as response:
        if response.status != 200:
            raise ValueError(f"answered with status {response.status}")
        body = await response.content.read(MAX_DOCUMENT_BYTES + 1)
        while len(body) <= MAX_DOCUMENT_BYTES and (more := await response.content.read(MAX_DOCUMENT_BYTES)):
            body += more
        if len(body) > MAX_DOCUMENT_BYTES:
            raise ValueError(f"the document is larger than {MAX_DOCUMENT_BYTES} bytes")
        return body
