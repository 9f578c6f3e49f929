"""MCP over Streamable HTTP as a prober needs it, in both protocol eras.

Modern servers (2026-07-28) are stateless: `server/discover` tells all. Legacy servers shake hands, and their session
is ended by DELETE however the conversation goes. The reading of answers is pure; only `send` touches the network.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from contract.vocabulary import ProbeOutcome
from exporter.exchange import Answer, Headers, HttpClient
from exporter.jsonrpc import (
    BASE_HEADERS,
    CLIENT_INFO,
    LEGACY_VERSION,
    LEGACY_VERSIONS,
    METHOD_NOT_FOUND,
    MODERN_REFUSALS,
    MODERN_VERSION,
    UNSUPPORTED_VERSION,
    Message,
    Result,
    RpcError,
    Unreadable,
    is_response,
    label_of,
    legacy_message,
    modern_message,
    read_response,
    text_of,
)
from exporter.outcome import Failure, Identity

MODERN, LEGACY = "modern", "legacy"
END_TIMEOUT_SECONDS = 2.0
"""How long ending a legacy session may take."""

_CHALLENGE = re.compile(r"""(?<![\w-])(error|scope|resource_metadata)\s*=\s*("[^"]*"|[^\s,"]+)""")

DISCOVER = modern_message("server/discover")
INITIALIZE = legacy_message(
    "initialize", {"protocolVersion": LEGACY_VERSION, "capabilities": {}, "clientInfo": CLIENT_INFO}
)
INITIALIZED = legacy_message("notifications/initialized", is_notification=True)
PING = legacy_message("ping")


@dataclass(frozen=True, slots=True)
class Discovery:
    """A modern server has answered; `warning` says why it is not quite well, else empty."""

    identity: Identity
    warning: str = ""


@dataclass(frozen=True, slots=True)
class NotModern:
    """The server did not understand `server/discover`: it may be a legacy one."""


class Dialog(Protocol):
    """An open conversation with a server."""

    identity: Identity
    warning: str
    """Why a server that answers is not quite well, else empty."""

    async def ping(self) -> Failure | None:
        """Make sure that the server works; nothing to do where opening has shown it."""

    async def call(self, method: str, params: Mapping[str, Any]) -> Result | RpcError | Failure:
        """Send one request."""


class ModernDialog:
    """A conversation with a server of 2026-07-28: every request stands alone."""

    def __init__(self, http: HttpClient, discovery: Discovery) -> None:
        self.identity = discovery.identity
        self.warning = discovery.warning
        self._http = http

    async def ping(self) -> None:
        """Do nothing: `server/discover` has been answered."""

    async def call(self, method: str, params: Mapping[str, Any]) -> Result | RpcError | Failure:
        """Send one request."""
        return await _request(self._http, modern_message(method, params))


class LegacyDialog:
    """A conversation with a server up to 2025-11-25: handshake, session, DELETE."""

    def __init__(self, http: HttpClient) -> None:
        self.identity = Identity(LEGACY, "")
        self.warning = ""
        self._http = http
        self._session: dict[str, str] = {}

    async def open(self) -> Failure | None:
        """Shake hands."""
        answer = await self._http.send("POST", *INITIALIZE, is_last_event=is_response, on_headers=self._note_session)
        identity = answer if isinstance(answer, Failure) else read_initialize(answer)
        if isinstance(identity, Failure):
            return identity
        self.identity = identity
        self._session["MCP-Protocol-Version"] = identity.protocol_version
        accepted = await self._http.send("POST", self._headers(INITIALIZED), INITIALIZED.body)
        if isinstance(accepted, Failure):
            return accepted
        return None if accepted.is_success else http_failure(accepted, "notifications/initialized")

    async def ping(self) -> Failure | None:
        """Send `ping`; a server that lacks it answers, and is merely odd."""
        reply = await self.call("ping", {})
        if isinstance(reply, RpcError):
            self.warning = f"ping is answered with error {reply.code} {reply.message}"
        return reply if isinstance(reply, Failure) else None

    async def call(self, method: str, params: Mapping[str, Any]) -> Result | RpcError | Failure:
        """Send one request within the session."""
        message = PING if method == "ping" else legacy_message(method, params)
        return await _request(self._http, Message(self._headers(message), message.body))

    async def end(self) -> None:
        """End the session, if there is one; servers may refuse (405), and nothing depends on it."""
        if "Mcp-Session-Id" in self._session:
            try:
                async with asyncio.timeout(END_TIMEOUT_SECONDS):
                    await self._http.send("DELETE", {**BASE_HEADERS, **self._session})
            except TimeoutError:
                return

    def _headers(self, message: Message) -> Headers:
        return {**message.headers, **self._session}

    def _note_session(self, headers: Headers) -> None:
        session = headers.get("Mcp-Session-Id", "")
        if session and session.isascii() and session.isprintable():
            self._session["Mcp-Session-Id"] = session


@asynccontextmanager
async def conversation(http: HttpClient, known_era: str | None = None) -> AsyncIterator[Dialog | Failure]:
    """Open a conversation in the era the server speaks, and end it; yields a Failure when none comes about.

    `known_era` saves the question where it was answered before.
    """
    if known_era != LEGACY:
        answer = await http.send("POST", *DISCOVER, is_last_event=is_response)
        discovered = answer if isinstance(answer, Failure) else read_discover(answer)
        if not isinstance(discovered, NotModern):
            yield discovered if isinstance(discovered, Failure) else ModernDialog(http, discovered)
            return
    legacy = LegacyDialog(http)
    try:
        failure = await legacy.open()
        yield failure or legacy
    finally:
        await legacy.end()


async def _request(http: HttpClient, message: Message) -> Result | RpcError | Failure:
    answer = await http.send("POST", *message, is_last_event=is_response)
    return answer if isinstance(answer, Failure) else read_reply(answer)


def read_discover(answer: Answer) -> Discovery | NotModern | Failure:
    """Judge the answer to `server/discover`: modern and well or nearly so, not modern, or a failure."""
    if not answer.is_success and not 400 <= answer.status < 500:
        return http_failure(answer, "server/discover")
    if is_refusal(answer):
        return auth_failure(answer)
    reply = read_response(answer.body, is_id_checked=answer.is_success)
    if isinstance(reply, Result):
        return _read_discovery(reply.value)
    if isinstance(reply, RpcError):
        return _read_modern_error(answer.status, reply)
    return Failure(ProbeOutcome.PROTOCOL_ERROR, reply.detail) if answer.is_success else NotModern()


def read_initialize(answer: Answer) -> Identity | Failure:
    """Judge the answer to `initialize`."""
    reply = read_reply(answer)
    if isinstance(reply, Failure):
        return reply
    if isinstance(reply, RpcError):
        return Failure(ProbeOutcome.PROTOCOL_ERROR, f"initialize is refused: {reply.code} {reply.message}")
    version = text_of(reply.value.get("protocolVersion"), 32)
    if not version:
        return Failure(ProbeOutcome.PROTOCOL_ERROR, "the answer to initialize names no protocolVersion")
    return _identity(LEGACY, version, reply.value.get("serverInfo"), reply.value.get("capabilities"))


def read_reply(answer: Answer) -> Result | RpcError | Failure:
    """Judge the answer to any other request."""
    if is_refusal(answer):
        return auth_failure(answer)
    reply = read_response(answer.body, is_id_checked=answer.is_success)
    if isinstance(reply, RpcError):
        return reply
    if not answer.is_success:
        return http_failure(answer, "the request")
    return Failure(ProbeOutcome.PROTOCOL_ERROR, reply.detail) if isinstance(reply, Unreadable) else reply


def is_refusal(answer: Answer) -> bool:
    """Whether the server wants another token, or one at all."""
    return answer.status in (401, 403)


def auth_failure(answer: Answer) -> Failure:
    """Describe a 401 or 403; the challenge tells what is missing."""
    challenge = read_challenge(answer.headers.get("WWW-Authenticate", ""))
    detail = f"status {answer.status}; {challenge or 'no challenge'}"
    return Failure(ProbeOutcome.AUTH_ERROR, detail, is_challenge="resource_metadata=" in challenge)


def read_challenge(header: str) -> str:
    """Return what a challenge asks for; a server may put anything into the rest, even the token it was given."""
    scheme = header[:1000].partition(" ")[0]
    said = [f"{name}={text_of(value, 200)}" for name, value in _CHALLENGE.findall(header[:4000])]
    return " ".join([scheme, *said]) if scheme.isalpha() and len(scheme) <= 20 else " ".join(said)


def http_failure(answer: Answer, what: str) -> Failure:
    """Describe a status that says no."""
    if 300 <= answer.status < 400:
        location = text_of(answer.headers.get("Location"), 100)
        return Failure(
            ProbeOutcome.HTTP_ERROR, f"status {answer.status}: a redirect to {location}, which is not followed"
        )
    return Failure(ProbeOutcome.HTTP_ERROR, f"{what} is answered with status {answer.status}")


def _read_discovery(result: dict[str, Any]) -> Discovery | Failure:
    versions = result.get("supportedVersions")
    if not isinstance(versions, list) or not isinstance(result.get("capabilities"), dict):
        return Failure(
            ProbeOutcome.PROTOCOL_ERROR, "the answer to server/discover lacks supportedVersions or capabilities"
        )
    meta = result.get("_meta")
    info = meta.get("io.modelcontextprotocol/serverInfo") if isinstance(meta, dict) else None
    warning = "" if MODERN_VERSION in versions else f"{MODERN_VERSION} is not among the supportedVersions"
    return Discovery(_identity(MODERN, MODERN_VERSION, info, result["capabilities"]), warning)


def _read_modern_error(status: int, error: RpcError) -> Discovery | NotModern:
    """Tell a modern server that refuses from a legacy one that does not understand (MCP.md, section 4)."""
    supported = error.data.get("supported") if isinstance(error.data, dict) else None
    if (
        error.code == UNSUPPORTED_VERSION
        and isinstance(supported, list)
        and LEGACY_VERSIONS & {str(v) for v in supported}
    ):
        return NotModern()
    if error.code in MODERN_REFUSALS or (status == 404 and error.code == METHOD_NOT_FOUND):
        warning = f"server/discover is refused: {error.code} {error.message}"
        return Discovery(Identity(MODERN, MODERN_VERSION), warning)
    return NotModern()


def _identity(era: str, version: str, info: object, capabilities: object) -> Identity:
    known = info if isinstance(info, dict) else {}
    has_tools = not isinstance(capabilities, dict) or "tools" in capabilities
    return Identity(era, version, label_of(known.get("name")), label_of(known.get("version")), has_tools)
