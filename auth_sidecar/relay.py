"""Passes an answer of the server behind on as it comes, byte for byte, unless it is a list to be filtered."""

import asyncio

import aiohttp
from aiohttp import web

from auth_sidecar import headers as headers_
from auth_sidecar.listing import ListFilter, ListTooLargeError
from auth_sidecar.operation_metrics import Outcome, Watcher
from auth_sidecar.operations import Action
from auth_sidecar.sessions import HEADER as SESSION_HEADER

_CUT_OFF = (aiohttp.ClientError, TimeoutError, ListTooLargeError, ValueError)


class Relay:
    """One answer under way; `outcome`, `tools` and `hidden` tell afterwards what it was."""

    def __init__(
        self,
        request: web.BaseRequest,
        answer: aiohttp.ClientResponse,
        action: Action,
        filtering: ListFilter | None,
        session: str,
    ) -> None:
        """Take the session id for the client, empty where the answer has none."""
        self._request = request
        self._answer = answer
        self._filter = filtering
        self._session = session
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
    def hidden(self) -> int:
        """How many entries of a list the caller does not see."""
        return self._filter.hidden if self._filter else 0

    async def run(self) -> web.StreamResponse:
        """Pass the answer on; raises CancelledError when the client has left."""
        response = self._head()
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

    async def _body(self, response: web.StreamResponse) -> None:
        filtering, watcher = self._filter, self._watcher
        async for chunk in self._answer.content.iter_any():
            watcher.feed(chunk)
            passed = filtering.feed(chunk) if filtering else chunk
            if passed:
                await response.write(passed)
        watcher.end()
        if filtering and (rest := filtering.end()):
            await response.write(rest)

    def _head(self) -> web.StreamResponse:
        answer = self._answer
        response = web.StreamResponse(status=answer.status, reason=answer.reason)
        for name, value in headers_.outwards(answer.headers.items()):
            if not (self._filter and name.lower() == "content-length"):
                response.headers.add(name, value)
        if self._session:
            response.headers[SESSION_HEADER] = self._session
        return response
