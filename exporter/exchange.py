"""One HTTP exchange with a server that may do anything: bounded in size, never redirected, failures as values.

The deadline is the caller's: an `asyncio.timeout` around the whole probe also ends a body of one byte a second.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from contract.vocabulary import ProbeOutcome
from exporter.credentials import NO_TOKEN, TokenSource
from exporter.outcome import Failure
from exporter.sse import EventParser

MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""What we read of one answer; the official SDK reads requests up to the same size."""
TAIL_SECONDS = 0.05
"""How long a stream may take to end after its answer, before its connection is given up."""

REDACTED = "<redacted>"
MIN_SECRET_LENGTH = 8
"""Shorter tokens are no secrets, and blanking them would cut answers to pieces."""

Headers = Mapping[str, str]


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    headers: Headers
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status is of the 200s."""
        return 200 <= self.status < 300


@dataclass
class Transcript:
    """Exchanges of one probe, for a person; secrets are left out when they are noted."""

    lines: list[str] = field(default_factory=list)
    _began_at: float = 0.0

    def began(self) -> None:
        """Note when a step begins: a token, a request and its answer."""
        self._began_at = time.perf_counter()

    def sent(self, method: str, url: URL, headers: Headers, body: bytes | None) -> None:
        """Note a request."""
        self.lines.append(f"> {method} {url}")
        self.lines += [f"> {name}: {_shown(name, value)}" for name, value in headers.items()]
        self.lines += [f"> {body.decode('utf-8', 'replace')}"] if body else []

    def cut_off(self) -> None:
        """Note that the probe's time was up before this step had its answer."""
        waited = time.perf_counter() - self._began_at
        self.lines.append(f"! {ProbeOutcome.TIMEOUT}: the time was up {waited:.3f}s into this step, without an answer")

    def received(self, answer: Answer | Failure) -> None:
        """Note an answer, its body cut at 2,000 characters."""
        if isinstance(answer, Failure):
            self.lines.append(f"! {answer.outcome}: {answer.detail}")
            return
        self.lines.append(f"< {answer.status}")
        self.lines += [f"< {name}: {_shown(name, value)}" for name, value in answer.headers.items()]
        self.lines += [f"< {line}" for line in answer.body[:2000].decode("utf-8", "replace").splitlines()]


_SECRET_HEADERS = frozenset({"authorization", "cookie", "set-cookie", "mcp-session-id", "proxy-authorization"})


def _shown(name: str, value: str) -> str:
    return REDACTED if name.lower() in _SECRET_HEADERS else value


class HttpClient:
    """Sends requests to one server: session, TLS trust and token of that server."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        trust: ssl.SSLContext | bool = True,
        token: TokenSource = NO_TOKEN,
        transcript: Transcript | None = None,
    ) -> None:
        self.url = URL(url, encoded=True)
        self.token = token
        self.status = 0
        """Status of the last answer, 0 when there was none."""
        self._session = session
        self._trust = trust
        self._transcript = transcript

    async def send(
        self,
        method: str,
        headers: Headers,
        body: bytes | None = None,
        *,
        is_last_event: Callable[[bytes], bool] | None = None,
        on_headers: Callable[[Headers], None] | None = None,
    ) -> Answer | Failure:
        """Exchange one request for one answer.

        An answer that is an event stream is read up to the first event that `is_last_event` accepts, whose data
        becomes the body. `on_headers` is called as soon as there are headers, for what must survive a timeout.
        """
        if self._transcript is None:
            return await self._send(method, headers, body, is_last_event, on_headers)
        self._transcript.began()
        try:
            answer = await self._send(method, headers, body, is_last_event, on_headers)
        except asyncio.CancelledError:
            # The deadline around the probe ends what is under way by cancelling it.
            self._transcript.cut_off()
            raise
        self._transcript.received(answer)
        return answer

    async def _send(
        self, method: str, headers: Headers, body: bytes | None, is_last: Any, on_headers: Any
    ) -> Answer | Failure:
        authorization = await self.token.header()
        if isinstance(authorization, Failure):
            return authorization
        sent = {**headers, "Authorization": authorization} if authorization else headers
        if self._transcript is not None:
            self._transcript.sent(method, self.url, sent, body)
        answer = await self._exchange(method, sent, body, is_last, on_headers)
        return _without(_secret_of(authorization), answer) if authorization else answer

    async def _exchange(
        self, method: str, headers: Headers, body: bytes | None, is_last: Any, on_headers: Any
    ) -> Answer | Failure:
        try:
            async with self._session.request(
                method, self.url, data=body, headers=headers, allow_redirects=False, ssl=self._trust
            ) as response:
                self.status = response.status
                if on_headers is not None:
                    on_headers(response.headers)
                content = await _read(response, is_last)
        except (aiohttp.ClientError, ValueError, OSError) as error:
            return failure_of(error, self.url.scheme, _secret_of(headers.get("Authorization", "")))
        if isinstance(content, Failure):
            return content
        return Answer(self.status, response.headers, content)


async def _read(response: aiohttp.ClientResponse, is_last: Callable[[bytes], bool] | None) -> bytes | Failure:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return Failure(ProbeOutcome.PROTOCOL_ERROR, "the answer is compressed, though that was not offered")
    if (response.content_length or 0) > MAX_ANSWER_BYTES:
        return _too_large()
    if is_last is not None and response.content_type == "text/event-stream":
        return await _read_events(response, is_last)
    content = response.content
    body = await content.readany()
    if content.at_eof():
        return body
    parts, size = [body], len(body)
    while chunk := await content.readany():
        parts.append(chunk)
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            return _too_large()
    return b"".join(parts)


async def _read_events(response: aiohttp.ClientResponse, is_last: Callable[[bytes], bool]) -> bytes | Failure:
    parser, size = EventParser(), 0
    while chunk := await response.content.readany():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            return _too_large()
        for data in parser.feed(chunk):
            if is_last(data):
                await _await_end(response.content)
                return data
    return Failure(ProbeOutcome.PROTOCOL_ERROR, "the stream ended without an answer")


async def _await_end(content: aiohttp.StreamReader) -> None:
    """Give a stream a moment to end, so that its connection can serve the next request."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(TAIL_SECONDS):
            while not content.at_eof():
                await content.readany()


def _secret_of(authorization: str) -> str:
    """Return the token of an Authorization header, empty when it is too short to be one."""
    token = authorization.rpartition(" ")[2]
    return token if len(token) >= MIN_SECRET_LENGTH else ""


def _without(secret: str, answer: Answer | Failure) -> Answer | Failure:
    """Blank the token we sent wherever the answer repeats it: answers reach log, page and labels."""
    if not secret or isinstance(answer, Failure):
        return answer
    if any(secret in value for value in answer.headers.values()):
        shown = [(name, _blanked(value, secret)) for name, value in answer.headers.items()]
        answer = answer._replace(headers=CIMultiDict(shown))
    return answer._replace(body=answer.body.replace(secret.encode(), REDACTED.encode()))


def _blanked(text: str, secret: str) -> str:
    return text.replace(secret, REDACTED) if secret else text


def _too_large() -> Failure:
    return Failure(ProbeOutcome.PROTOCOL_ERROR, f"the answer is larger than {MAX_ANSWER_BYTES} bytes")


def failure_of(error: Exception, scheme: str, secret: str = "") -> Failure:
    """Say which outcome an error of the transport is."""
    detail = _blanked(f"{type(error).__name__}: {error}", secret)[:300]
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return Failure(ProbeOutcome.TLS_ERROR, detail)
    if isinstance(error, aiohttp.ClientConnectorError):
        was_cut = isinstance(error.os_error, ConnectionResetError | ConnectionAbortedError)
        return Failure(ProbeOutcome.TLS_ERROR if was_cut and scheme == "https" else ProbeOutcome.CONNECT_ERROR, detail)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return Failure(ProbeOutcome.CONNECT_ERROR, "the server hung up without an answer")
    if isinstance(error, OSError):
        return Failure(ProbeOutcome.CONNECT_ERROR, detail)
    return Failure(ProbeOutcome.PROTOCOL_ERROR, detail)
