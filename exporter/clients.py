"""HTTP clients for everything that is asked: one session for all, trust and tokens as configured for each."""

import ssl
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from contract.tracing import Tracer
from exporter.config import FileCredentials, OAuthCredentials
from exporter.credentials import NO_TOKEN, ClientCredentialsToken, FileToken, TokenSource
from exporter.exchange import HttpClient, Transcript
from exporter.traced import TracedClient

KEEPALIVE_SECONDS = 2.0
"""Long enough for the requests of one probe; shorter than servers close idle connections (5 s is usual)."""
DNS_CACHE_SECONDS = 30

Credentials = Mapping[str, FileCredentials | OAuthCredentials]


def open_session() -> aiohttp.ClientSession:
    """Return the session of all requests: no limit of its own, no cookies, no decompression, no time-out.

    Callers bound their own number and time.
    """
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS, ttl_dns_cache=DNS_CACHE_SECONDS)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
    )


class Clients:
    """Makes clients; token sources are shared by all who use the same credentials."""

    def __init__(self, session: aiohttp.ClientSession, credentials: Credentials, tracer: Tracer | None = None) -> None:
        self._session = session
        self._tracer = tracer
        self._tokens: dict[str, TokenSource] = {name: self._token(config) for name, config in credentials.items()}
        self._trust: dict[Path, ssl.SSLContext] = {}

    def make(
        self, url: str, credentials: str | None, ca_file: Path | None, transcript: Transcript | None = None
    ) -> HttpClient:
        """Return a client for one URL."""
        token = self._tokens[credentials] if credentials else NO_TOKEN
        if self._tracer is None:
            return HttpClient(self._session, url, trust=self._trusted(ca_file), token=token, transcript=transcript)
        traced = TracedClient(self._session, url, trust=self._trusted(ca_file), token=token, transcript=transcript)
        traced.tracer = self._tracer
        return traced

    def _token(self, config: FileCredentials | OAuthCredentials) -> TokenSource:
        if isinstance(config, FileCredentials):
            return FileToken(config.token_file)
        return ClientCredentialsToken(config, self._session)

    def _trusted(self, ca_file: Path | None) -> ssl.SSLContext | bool:
        if ca_file is None:
            return True
        if ca_file not in self._trust:
            self._trust[ca_file] = ssl.create_default_context(cafile=str(ca_file))
        return self._trust[ca_file]
