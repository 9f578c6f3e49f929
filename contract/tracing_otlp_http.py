"""OTLP over HTTP: batches within one deadline, a bounded answer, no redirects.

https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

import asyncio
import gzip
import random
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace import ReadableSpan

from contract.tracing import Span
from contract.tracing_otlp_encoding import Envelope, encode
from contract.tracing_settings import Settings
from contract.web import release

ANSWER_BYTES = 64 << 10
"""Of an answer, which is empty or tells why spans were rejected."""
SHOWN = 200
"""Characters of an endpoint's own words that a log line quotes."""
BACKOFF_SECONDS = 1.0
"""Before the second attempt; doubled each time."""
_RETRIED = frozenset({429, 502, 503, 504})
Queued = ReadableSpan | Span | bytes
"""What may wait to be sent."""


class Outcome(NamedTuple):
    """What became of a batch."""

    rejected: int
    reason: str = ""


class _Attempt(NamedTuple):
    outcome: Outcome
    retry_seconds: float | None = None
    """When to try again: 0 leaves it to the sender, None is never."""


class HttpSender:
    """Sends batches; an event loop and a connection for each, so that nothing is left to be closed."""

    def __init__(self, settings: Settings, readable: Callable[[Span], ReadableSpan]) -> None:
        self._settings = settings
        like = Span(None, 1, is_sampled=True)
        like.kind = "internal"
        self._envelope = Envelope(readable(like))
        # Asked once: aiohttp would start a thread with every request to read .netrc for it.
        self._proxy = _proxy(settings.url)
        self._headers = {
            "user-agent": f"mcp-lookout/{release()}",
            **settings.headers,
            "content-type": "application/x-protobuf",
            "accept-encoding": "identity",
            **({"content-encoding": "gzip"} if settings.is_compressed else {}),
        }

    def queued(self, span: Span) -> bytes:
        """Return a span's bytes: a third of its memory, which is in the caches when the next one comes."""
        return encode(span)

    def send(self, spans: Sequence[Queued]) -> Outcome:
        """Send a batch and return what became of it, within the time that is set for all attempts together."""
        ours = [span for span in spans if isinstance(span, bytes)]
        body = self._envelope.around(ours) if ours else b""
        if len(ours) < len(spans):
            # Messages of one kind that follow each other are one.
            body += encode_spans([span for span in spans if isinstance(span, ReadableSpan)]).SerializePartialToString()
        return asyncio.run(self._try(gzip.compress(body) if self._settings.is_compressed else body, len(spans)))

    async def _try(self, body: bytes, count: int) -> Outcome:
        ends = asyncio.get_running_loop().time() + self._settings.timeout_seconds
        said = Outcome(count, "no answer in time")
        backoff = BACKOFF_SECONDS
        try:
            async with (
                asyncio.timeout_at(ends),
                aiohttp.ClientSession(auto_decompress=False) as session,
            ):
                while True:
                    said, retry_seconds = await self._attempt(session, body, count)
                    if retry_seconds is None:
                        return said
                    wait = retry_seconds or backoff * random.uniform(0.8, 1.2)  # noqa: S311
                    if asyncio.get_running_loop().time() + wait > ends:
                        return said
                    await asyncio.sleep(wait)
                    backoff *= 2
        except TimeoutError:
            return said

    async def _attempt(self, session: aiohttp.ClientSession, body: bytes, count: int) -> _Attempt:
        tls = self._settings.tls or True
        try:
            async with session.post(
                self._settings.url,
                data=body,
                headers=self._headers,
                allow_redirects=False,
                proxy=self._proxy,
                ssl=tls,
            ) as response:
                if not 200 <= response.status < 300:
                    return _refused(response, count)
                return _Attempt(_taken(await _answer(response), count))
        except aiohttp.ClientError as error:
            return _Attempt(Outcome(count, _without_address(error)), 0)
        except ValueError as error:  # a host name that none can be
            return _Attempt(Outcome(count, _without_address(error)))


def _without_address(error: Exception) -> str:
    """Return what happened in bounded words; not the endpoint's address, in which a key may stand."""
    said = getattr(error, "os_error", "") or getattr(error, "message", "")
    return f"{type(error).__name__}: {said}".removesuffix(": ")[:SHOWN]


def _proxy(url: str) -> str | None:
    """Return the proxy that the environment names for an address (HTTPS_PROXY, NO_PROXY and so on)."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)


async def _answer(response: aiohttp.ClientResponse) -> bytes | None:
    """Return an answer's body, None when it is longer than any."""
    try:
        await response.content.readexactly(ANSWER_BYTES + 1)
    except asyncio.IncompleteReadError as whole:
        return whole.partial
    except aiohttp.ClientError:
        return b""  # accepted all the same: to send the batch again would double it
    return None


def _refused(response: aiohttp.ClientResponse, count: int) -> _Attempt:
    reason = f"the endpoint answers {response.status}"
    if 300 <= response.status < 400:
        reason += ", and redirects are not followed: name the address that takes spans"
    wait = response.headers.get("Retry-After", "")
    seconds = float(wait) if wait.isascii() and wait.isdigit() else 0.0
    return _Attempt(Outcome(count, reason), seconds if response.status in _RETRIED else None)


def _taken(body: bytes | None, count: int) -> Outcome:
    """Return what the answer to an accepted request says of its spans."""
    if body is None:
        return Outcome(count, f"the answer is longer than {ANSWER_BYTES} bytes")
    try:
        partial = ExportTraceServiceResponse.FromString(body).partial_success
    except DecodeError:
        return Outcome(0)  # accepted in other words
    return Outcome(min(max(partial.rejected_spans, 0), count), partial.error_message[:SHOWN])
