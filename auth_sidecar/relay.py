"""Passes an answer of the server behind on as it comes, byte for byte but for lists, which are filtered, and ids."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

import aiohttp
from aiohttp import web

from auth_sidecar import cors
from auth_sidecar import headers as headers_
from auth_sidecar.events import IdSealer, TooLargeError
from auth_sidecar.listing import ListFilter
from auth_sidecar.operation_metrics import Outcome, Watcher
from auth_sidecar.operations import Action
from auth_sidecar.sessions import HEADER as SESSION_HEADER

R = TypeVar("R", bound=web.StreamResponse)
SMALL_BYTES = 16384
"""Answers of a known length up to this are passed on in one piece."""
_LENGTH = frozenset({"content-length"})
_CUT_OFF = (aiohttp.ClientError, TimeoutError, TooLargeError, ValueError)


class Relay:
    """One answer under way; `outcome`, `tools` and `hidden` tell afterwards what it was."""

    def __init__(
        self,
        request: web.BaseRequest,
        answer: aiohttp.ClientResponse,
        action: Action,
        filtering: ListFilter | None,
        session: str,
        ids: IdSealer | None,
        may_go_on: Callable[[], bool],
    ) -> None:
        """Take the session id for the client, empty where the answer has none, what seals ids of events, and what tells
        before each piece whether the caller may still have it."""
        self._request = request
        self._answer = answer
        self._filter = filtering
        self._session = session
        self._ids = ids
        self._may_go_on = may_go_on
        self._watcher = Watcher(action, answer.headers.get("Content-Type", ""), answer.status)

    @property
    def outcome(self) -> Outcome:
        """How the operation ended."""
        return self._watcher.outcome

    @property
    def tools(self) -> tuple[str, ...]:
        """Names of the tools that the server listed."""
        return self._watcher.tools

    @property
    def hidden(self) -> Mapping[str, int]:
        """How many entries of lists the caller does not see, by what they are."""
        return self._filter.hidden if self._filter else {}

    async def run(self) -> web.StreamResponse:
        """Pass the answer on; raises CancelledError when the client has left."""
        if 0 < (self._answer.content_length or 0) <= SMALL_BYTES:
            return await self._whole()
        response = self._head(web.StreamResponse)
        try:
            await response.prepare(self._request)
            await self._body(response)
            await response.write_eof()
        except aiohttp.ClientConnectionResetError:
            raise asyncio.CancelledError from None
        except _CUT_OFF:
            # What is cut off behind must look cut off in front too, not like an answer that ended well.
            self._watcher.outcome = Outcome("upstream_closed")
            self._answer.close()
            if self._request.transport:
                self._request.transport.abort()
        else:
            self._answer.release()
        return response

    async def _whole(self) -> web.StreamResponse:
        """Pass a small answer of known length on in one piece, which is most of the cost of a small request."""
        body = await self._answer.read()
        self._watcher.feed(body)
        self._watcher.end()
        if self._filter:
            try:
                body = self._filter.feed(body) + self._filter.end()
            except ValueError as error:
                raise aiohttp.ClientPayloadError("a list that cannot be read") from error
        if self._ids:
            body = self._ids.feed(body) + self._ids.end()
        response = self._head(web.Response, is_whole=True)
        response.body = body
        return response

    async def _body(self, response: web.StreamResponse) -> None:
        filtering, ids, watcher = self._filter, self._ids, self._watcher
        async for chunk in self._answer.content.iter_any():
            if not self._may_go_on():
                watcher.outcome = Outcome("caller_refused")
                self._answer.close()
                return
            watcher.feed(chunk)
            passed = filtering.feed(chunk) if filtering else chunk
            if ids and passed:
                passed = ids.feed(passed)
            if passed:
                await response.write(passed)
        watcher.end()
        rest = filtering.end() if filtering else b""
        if ids:
            rest = ids.feed(rest) + ids.end()
        if rest:
            await response.write(rest)

    def _head(self, kind: type[R], *, is_whole: bool = False) -> R:
        answer = self._answer
        response = kind(status=answer.status, reason=answer.reason)
        # What is filtered or sealed has another length, and what is whole has its length told by aiohttp.
        dropped = _LENGTH if is_whole or self._filter or self._ids else frozenset()
        response.headers.extend(headers_.outwards(answer.headers, dropped))
        if self._session:
            response.headers[SESSION_HEADER] = self._session
        if "Origin" in self._request.headers:
            cors.open_to_page(self._request.headers, response)
        return response
