"""The reverse proxy: both eras of MCP's Streamable HTTP, unbuffered, cancelled as each era demands.

Built on aiohttp's bare server: endpoints are found by their exact path, a router and middlewares would only cost time.
"""

import asyncio
import logging
import time
from collections.abc import Mapping

import aiohttp
from aiohttp import web

from auth_sidecar import headers as headers_
from auth_sidecar.answers import Answer, Answers, rpc_error
from auth_sidecar.config import Limits, Upstream
from auth_sidecar.decision import PROXY, Ask, Endpoint, has_query_token, printable
from auth_sidecar.gate import Gate
from auth_sidecar.operation_metrics import OperationMetrics, Outcome, Watcher
from auth_sidecar.operations import Action, MessageId, Refused, is_modern, read_body
from auth_sidecar.principal import Principal
from contract.vocabulary import AuthReason

logger = logging.getLogger(__name__)

BODY_TIMEOUT_SECONDS = 30.0
"""Longest time a client may take to send a body."""
DRAIN_SECONDS = 300.0
"""How long an answer is still read that a legacy client has stopped waiting for."""
_BODILESS = {"GET": "http/get", "DELETE": "http/delete"}
_UPSTREAM_DOWN = {502: "The server behind cannot be reached.", 504: "The server behind does not answer in time."}


class Proxy:
    """Serves protected endpoints; endpoints, answers and limits may be replaced between two requests."""

    def __init__(
        self,
        gate: Gate,
        session: aiohttp.ClientSession,
        operations: OperationMetrics,
        *,
        endpoints: Mapping[str, Endpoint],
        answers: Answers,
        limits: Limits,
        upstream: Upstream,
    ) -> None:
        """Take the endpoints by exact path."""
        self.endpoints = endpoints
        self.answers = answers
        self.limits = limits
        self.upstream = upstream
        self._gate = gate
        self._session = session
        self._operations = operations
        self._draining: set[asyncio.Task[None]] = set()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        started = time.perf_counter()
        path, _, query = request.raw_path.partition("?")
        metadata = self.answers.metadata(path) if request.method == "GET" else None
        if metadata:
            return _response(metadata)
        endpoint = self.endpoints.get(path)
        ask = _ask(request, endpoint, query)
        body = _Body(request, self.limits.body_bytes)
        decision = await self._gate.decide(ask, body.read_action)
        if not decision.is_allowed or endpoint is None or not isinstance(body.action, Action):
            response = _response(self.answers.refuse(decision, endpoint, body.message_id))
            if not body.is_complete:
                response.force_close()
            return response
        return await self._pass_on(request, endpoint, decision.principal, body, started)

    async def close(self) -> None:
        """Give up answers that are still being drained."""
        for task in self._draining:
            task.cancel()
        await asyncio.gather(*self._draining, return_exceptions=True)

    async def _pass_on(
        self, request: web.BaseRequest, endpoint: Endpoint, caller: Principal | None, body: "_Body", started: float
    ) -> web.StreamResponse:
        action = body.action
        assert isinstance(action, Action)  # noqa: S101 - for the type checker
        asking = asyncio.ensure_future(self._ask_upstream(request, endpoint, caller, body.data))
        try:
            answer = await asyncio.shield(asking)
        except asyncio.CancelledError:
            self._give_up(asking, action)
            raise
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            status = 504 if isinstance(error, TimeoutError) else 502
            logger.warning(
                "upstream failed", extra={"agent": endpoint.agent, "status": status, "error": type(error).__name__}
            )
            self._operations.count(endpoint, action, Outcome("timeout" if status == 504 else str(status)), started)
            return _response(_unreachable(status, action))
        watcher = Watcher(action, answer.headers.get("Content-Type", ""), answer.status)
        try:
            return await self._relay(request, answer, watcher)
        except asyncio.CancelledError:
            self._give_up(asking, action)
            raise
        finally:
            self._operations.count(endpoint, action, watcher.outcome, started)
            self._operations.learn(endpoint, watcher.tools)

    async def _ask_upstream(
        self, request: web.BaseRequest, endpoint: Endpoint, caller: Principal | None, body: bytes
    ) -> aiohttp.ClientResponse:
        """Send the request on and return the answer's head; raises TimeoutError when that takes too long."""
        query = request.raw_path.partition("?")[2]
        pairs = list(headers_.inwards(request.headers.items(), keep_authorization=self.upstream.keep_authorization))
        pairs += headers_.forwarded(request.remote or "", request.host, request.scheme)
        if caller:
            pairs += headers_.identity(caller)
        async with asyncio.timeout(self.upstream.response_timeout or None):
            return await self._session.request(
                request.method,
                endpoint.upstream + (f"?{query}" if query else ""),
                headers=pairs,
                data=body or None,
                allow_redirects=False,
            )

    async def _relay(
        self, request: web.BaseRequest, answer: aiohttp.ClientResponse, watcher: Watcher
    ) -> web.StreamResponse:
        """Pass an answer to the client as it comes, byte for byte."""
        response = web.StreamResponse(status=answer.status, reason=answer.reason)
        for name, value in headers_.outwards(answer.headers.items()):
            response.headers.add(name, value)
        try:
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                watcher.feed(chunk)
                await response.write(chunk)
            await response.write_eof()
        except aiohttp.ClientConnectionResetError:
            raise asyncio.CancelledError from None  # the client has left
        except (aiohttp.ClientError, TimeoutError):
            # What is cut off behind must look cut off in front too, not like an answer that ended well.
            watcher.outcome = Outcome("upstream_closed")
            answer.close()
            if request.transport:
                request.transport.abort()
        else:
            answer.release()
            watcher.end()
        return response

    def _give_up(self, asking: "asyncio.Task[aiohttp.ClientResponse]", action: Action) -> None:
        """End a request whose client has left: a cancellation in the modern era, nothing of the kind before."""
        if not is_modern(action.version) and action.method not in _BODILESS.values():
            task = asyncio.ensure_future(_drain(asking))
            self._draining.add(task)
            task.add_done_callback(self._draining.discard)
        elif not asking.done():
            asking.cancel()
        elif not asking.cancelled() and asking.exception() is None:
            asking.result().close()


class _Body:
    """The body of a request, read only when the gate wants it."""

    def __init__(self, request: web.BaseRequest, limit: int) -> None:
        self._request = request
        self._limit = limit
        self.data = b""
        self.action: Action | Refused | None = None
        self.is_complete = not request.can_read_body

    @property
    def message_id(self) -> MessageId:
        return self.action.message_id if self.action else None

    async def read_action(self) -> Action | Refused:
        self.action = await self._read_action()
        return self.action

    async def _read_action(self) -> Action | Refused:
        request = self._request
        if request.method in _BODILESS:
            return Action(_BODILESS[request.method], version=request.headers.get("MCP-Protocol-Version", ""))
        if request.method != "POST":
            return Refused(AuthReason.UNMAPPED_OPERATION, 405)
        if (request.content_length or 0) > self._limit:
            return Refused(AuthReason.UNMAPPED_OPERATION, 413)
        try:
            async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
                self.data = await self._read()
        except TimeoutError:
            return Refused(AuthReason.UNMAPPED_OPERATION, 408)
        if len(self.data) > self._limit:
            return Refused(AuthReason.UNMAPPED_OPERATION, 413)
        self.is_complete = True
        return read_body(self.data, request.headers)

    async def _read(self) -> bytes:
        content, data = self._request.content, bytearray()
        while len(data) <= self._limit and (chunk := await content.readany()):
            data += chunk
        return bytes(data)


def _ask(request: web.BaseRequest, endpoint: Endpoint | None, query: str) -> Ask:
    headers = request.headers
    return Ask(
        mode=PROXY,
        http_method=request.method[:16],
        client=request.remote or "",
        endpoint=endpoint,
        host=headers.get("Host", ""),
        origin=headers.get("Origin"),
        authorizations=tuple(headers.getall("Authorization", ())),
        has_query_token=has_query_token(query),
        request_id=printable(headers.get("X-Request-Id", "")),
    )


def _response(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


def _unreachable(status: int, action: Action) -> Answer:
    message = _UPSTREAM_DOWN[status]
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Answer(status, headers, rpc_error(action.message_id, status, message, {"error": "upstream_unavailable"}))


async def _drain(asking: "asyncio.Task[aiohttp.ClientResponse]") -> None:
    """Read an answer to its end for nobody, so that the server behind does not see its client leave."""
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            answer = await asking
            async for _chunk in answer.content.iter_any():
                pass
    except (aiohttp.ClientError, OSError, TimeoutError):
        return
