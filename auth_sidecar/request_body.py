"""The body of a request: read only of callers who are known, bounded in size and time, and turned into an action."""

import asyncio
import re
from collections.abc import Mapping

from aiohttp import web

from auth_sidecar.operations import MIRRORED, Action, MessageId, Refused, is_modern, read_body
from auth_sidecar.principal import Principal
from auth_sidecar.sessions import EVENT_HEADER, HEADER, SessionBinding
from contract.vocabulary import AuthReason

BODY_TIMEOUT_SECONDS = 30.0
"""Longest time a client may take to send a body."""
BODILESS = {"GET": "http/get", "DELETE": "http/delete"}
"""HTTP methods that are operations by themselves."""
_SINGLE = (*MIRRORED, "content-type", HEADER.lower(), EVENT_HEADER.lower())
"""Headers that decide something; of two, the server behind might believe the other one."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_JSON = re.compile(r'application/json(?:[ \t]*;[ \t]*charset=(?:utf-8|"utf-8"))?', re.IGNORECASE | re.ASCII)


class Body:
    """The body of one request, and the session and event that it refers to."""

    def __init__(self, request: web.BaseRequest, limit: int, bindings: Mapping[str, SessionBinding]) -> None:
        """Take the headers whose ids are bound to callers, and what releases them."""
        self._request = request
        self._limit = limit
        self._bindings = bindings
        self._released: list[tuple[str, str]] = []
        self.data = b""
        self.action: Action | Refused | None = None
        self.is_complete = not request.can_read_body

    @property
    def message_id(self) -> MessageId:
        """The id of the JSON-RPC message, None when there is none."""
        return self.action.message_id if self.action else None

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Headers that say what was judged: each value once, and the body's form in our words, not the client's."""
        request = self._request
        names = MIRRORED if request.method == "POST" else MIRRORED[:1]
        pairs = [(name, request.headers[name]) for name in names if name in request.headers]
        if request.method == "POST":
            pairs.append(("Content-Type", "application/json"))
        return pairs + self._released

    async def read_action(self, principal: Principal) -> Action | Refused:
        """Read the body and return what is asked for; a session or an event of somebody else refuses it."""
        self.action = await self._read_action()
        if isinstance(self.action, Action) and not is_modern(self.action.version):
            path = self._request.raw_path.partition("?")[0]
            for name, binding in self._bindings.items():
                held = self._request.headers.get(name)
                found = binding.release(held, principal, path) if held is not None else None
                if found is not None:
                    self._released.append((name, found))
                elif held is not None:
                    self.action = Refused(AuthReason.NO_PERMISSION, 404, self.action.message_id)
        return self.action

    async def _read_action(self) -> Action | Refused:
        request = self._request
        if any(len(request.headers.getall(name, ())) > 1 for name in _SINGLE):
            return Refused(AuthReason.HEADER_MISMATCH, 400)
        if request.method in BODILESS:
            return Action(BODILESS[request.method], version=request.headers.get("MCP-Protocol-Version", ""))
        if request.method != "POST":
            return Refused(AuthReason.UNMAPPED_OPERATION, 405)
        if not _is_plain(request):
            return Refused(AuthReason.UNMAPPED_OPERATION, 415)
        return await self._read_message()

    async def _read_message(self) -> Action | Refused:
        request = self._request
        if (request.content_length or 0) > self._limit:
            return Refused(AuthReason.UNMAPPED_OPERATION, 413)
        try:
            self.data = await self._read()
        except TimeoutError:
            return Refused(AuthReason.UNMAPPED_OPERATION, 408)
        except web.RequestPayloadError:
            return Refused(AuthReason.MALFORMED_REQUEST, 400)
        if len(self.data) > self._limit:
            return Refused(AuthReason.UNMAPPED_OPERATION, 413)
        self.is_complete = True
        return read_body(self.data, request.headers)

    async def _read(self) -> bytes:
        content, data = self._request.content, bytearray()
        if content.is_eof():
            return content.read_nowait()  # it came with the head, as most do: nothing to wait for
        if self._request.headers.get("Expect", "").lower() == "100-continue" and self._request.transport:
            self._request.transport.write(_CONTINUE)
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            while len(data) <= self._limit and (chunk := await content.readany()):
                data += chunk
        return bytes(data)


def _is_plain(request: web.BaseRequest) -> bool:
    """Whether a body is said to be plain JSON, which is UTF-8 (RFC 8259), in words that cannot be read in two ways."""
    return "Content-Encoding" not in request.headers and bool(_JSON.fullmatch(request.headers.get("Content-Type", "")))
