"""The reverse proxy: both eras of MCP's Streamable HTTP, unbuffered, cancelled as each era demands.

Built on aiohttp's bare server: endpoints are found by their exact path, a router and middlewares would only cost time.
"""

import asyncio
import functools
import io
import logging
import time
from typing import NamedTuple

import aiohttp
from aiohttp import web
from yarl import URL

from auth_sidecar import cors
from auth_sidecar import headers as headers_
from auth_sidecar.answers import Answer, Answers, rpc_error
from auth_sidecar.config import Limits, Upstream
from auth_sidecar.decision import PROXY, Ask, Decision, Endpoint, has_query_token, printable
from auth_sidecar.events import IdSealer, is_stream
from auth_sidecar.gate import Gate
from auth_sidecar.listing import LISTS, RESUMED, ListFilter
from auth_sidecar.operation_metrics import OperationMetrics, Outcome, known_method
from auth_sidecar.operations import Action, is_modern
from auth_sidecar.principal import Principal
from auth_sidecar.relay import Relay
from auth_sidecar.request_body import BODILESS, Body
from auth_sidecar.sessions import EVENT_HEADER, SessionBinding
from auth_sidecar.sessions import HEADER as SESSION_HEADER
from auth_sidecar.spans import client_left, decision_ended, handed_on
from contract.log import RateLimit
from contract.tracing import TRACEPARENT, Span, not_recorded
from contract.vocabulary import AuthReason

logger = logging.getLogger(__name__)
logger.addFilter(RateLimit())

LARGE_BYTES = 1 << 20
"""Bodies from this size on are sent in pieces, so that other requests are not held up."""
MAX_DRAINING = 1000
"""Most answers that are read for nobody at once; beyond that a client that leaves ends its request."""
DRAIN_SECONDS = 300.0
"""How long an answer is still read that a legacy client has stopped waiting for."""
_FILTERED = frozenset({*LISTS, RESUMED})
_ENDLESS = frozenset({BODILESS["GET"], "subscriptions/listen"})
"""Operations whose streams go on until somebody ends them; they end with the token. Others may outlast it."""
_CREDENTIALS = frozenset({"authorization"})
_CODINGS = frozenset({"accept-encoding", "range"})
"""What would bring an answer in a form that cannot be filtered."""
_CONTEXT = frozenset({TRACEPARENT})
_UPSTREAM_DOWN = {
    502: "The server behind cannot be reached, or its answer cannot be passed on.",
    504: "The server behind does not answer in time.",
}


class Proxy:
    """Serves the endpoints of the rules in force; answers and limits may be replaced between two requests."""

    def __init__(
        self,
        gate: Gate,
        session: aiohttp.ClientSession,
        operations: OperationMetrics,
        *,
        answers: Answers,
        sessions: SessionBinding,
        limits: Limits,
        upstream: Upstream,
    ) -> None:
        """Take what decides, and the session for the servers behind."""
        self.answers = answers
        self.limits = limits
        self.upstream = upstream
        self._gate = gate
        self._bindings = {SESSION_HEADER: sessions, EVENT_HEADER: sessions.of_events()}
        self._http = session
        self._operations = operations
        self._draining: set[asyncio.Task[None]] = set()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        started = time.perf_counter()
        if not headers_.is_text(request.headers, request.raw_path):
            return self.malformed(request)
        path, _, query = request.raw_path.partition("?")
        metadata = self.answers.metadata(path) if request.method == "GET" else None
        if metadata:
            return _response(metadata)
        ask = _ask(request, self._gate.rules.endpoints.get(path), query)
        if cors.is_preflight(request) and (answer := self._preflight(request, ask, path)):
            return _response(answer)
        body = Body(request, self.limits.body_bytes, self._bindings)
        decision = await self._decide(ask, body)
        endpoint, caller = ask.endpoint, decision.principal
        if not decision.is_allowed or endpoint is None or caller is None or not isinstance(body.action, Action):
            response = _response(self.answers.refuse(decision, endpoint, body.message_id))
            if decision.reason is not AuthReason.ORIGIN_NOT_ALLOWED:
                cors.open_to_page(request.headers, response)
            if ask.span and self._gate.tracer:
                decision_ended(self._gate.tracer, ask, decision, known_method(decision.method))
            if not body.is_complete:
                response.force_close()
            return response
        return await self._pass_on(request, Call(endpoint, caller, body.action, body, started, ask.span))

    async def _decide(self, ask: Ask, body: Body) -> Decision:
        try:
            return await self._gate.decide(ask, body.read_action)
        except asyncio.CancelledError:
            if self._gate.tracer and isinstance(body.action, Action):
                client_left(self._gate.tracer, ask, known_method(body.action.method))
            raise

    def _preflight(self, request: web.BaseRequest, ask: Ask, path: str) -> Answer | None:
        """Return the answer to a preflight of a page that may send requests here, None for any other."""
        if self.answers.metadata(path):
            return cors.preflight(request.headers, "*")
        if ask.endpoint is None or self._gate.rules.refuses_before_credentials(ask):
            return None
        return cors.preflight(request.headers, ask.origin or "")

    def malformed(self, request: web.BaseRequest) -> web.StreamResponse:
        """Refuse what is not HTTP."""
        decision = self._gate.refuse_unread(PROXY, request.remote or "")
        response = _response(self.answers.refuse(decision))
        response.force_close()
        return response

    async def close(self) -> None:
        """Give up answers that are still being drained."""
        for task in self._draining:
            task.cancel()
        await asyncio.gather(*self._draining, return_exceptions=True)

    async def _pass_on(self, request: web.BaseRequest, call: "Call") -> web.StreamResponse:
        asking = self._ask_upstream(request, call)
        lasting = asyncio.ensure_future(asking) if _outlives_its_client(call.action) else None
        answer: aiohttp.ClientResponse | None = None
        outcome = Outcome("cancelled")
        try:
            answer = await (asyncio.shield(lasting) if lasting else asking)
            session, ids = self._bound(call, answer), self._ids(call, answer)
            may_go_on = functools.partial(self._gate.may_go_on, call.caller, is_endless=call.action.method in _ENDLESS)
            relay = Relay(request, answer, call.action, self._filter(call, answer), session, ids, may_go_on)
            try:
                return await relay.run()
            finally:
                outcome = relay.outcome
                self._operations.learn(call.endpoint, relay.tools)
                self._operations.hid(relay.hidden)
        except asyncio.CancelledError:
            if lasting:
                self._read_on(lasting)
            elif answer:
                answer.close()
            raise
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            status = 504 if isinstance(error, TimeoutError) else 502
            outcome = Outcome("timeout" if status == 504 else str(status))
            fields = {"agent": call.endpoint.agent, "status": status, "problem": type(error).__name__}
            fields |= call.span.exemplar if call.span else {}
            logger.warning("upstream failed", extra=fields)
            response = _response(_unreachable(status, call.action))
            cors.open_to_page(request.headers, response)
            return response
        finally:
            self._operations.count(call.endpoint, call.action, outcome, call.started, call.span)

    def _filter(self, call: "Call", answer: aiohttp.ClientResponse) -> ListFilter | None:
        """Return what filters the answer to a list request, None for every other answer."""
        if call.action.method not in _FILTERED or not call.endpoint.filters_lists or not 200 <= answer.status < 300:
            return None
        if not _is_plain(answer):
            answer.close()
            raise aiohttp.ClientPayloadError("a list in a coding that nobody asked for")
        may = functools.partial(self._gate.may, call.caller, call.endpoint.path)
        return ListFilter(call.action.method, may, is_stream=is_stream(answer.headers.get("Content-Type", "")))

    def _bound(self, call: "Call", answer: aiohttp.ClientResponse) -> str:
        """Return the session id that the client gets, empty where there is none."""
        session = answer.headers.get(SESSION_HEADER, "")
        if not session.isascii():
            answer.close()
            raise aiohttp.ClientPayloadError("a session id that is not ASCII")
        return self._bindings[SESSION_HEADER].bind(session, call.caller, call.endpoint.path) if session else ""

    def _ids(self, call: "Call", answer: aiohttp.ClientResponse) -> IdSealer | None:
        """Return what seals the ids of events; those of a packed stream stay, and nobody can go on there."""
        if not is_stream(answer.headers.get("Content-Type", "")) or not _is_plain(answer):
            return None
        return IdSealer(self._bindings[EVENT_HEADER].binder(call.caller, call.endpoint.path))

    async def _ask_upstream(self, request: web.BaseRequest, call: "Call") -> aiohttp.ClientResponse:
        """Send the request on and return the answer's head; raises TimeoutError when that takes too long."""
        query = request.raw_path.partition("?")[2]
        dropped = frozenset() if self.upstream.keep_authorization else _CREDENTIALS
        dropped |= _CODINGS if call.action.method in _FILTERED else frozenset()
        pairs = headers_.inwards(request.headers, dropped | _CONTEXT if call.span else dropped)
        pairs += call.body.headers
        pairs += headers_.forwarded(request.remote or "", request.host, request.scheme)
        pairs += headers_.identity(call.caller)
        data = call.body.data
        if call.span:
            pairs.append((TRACEPARENT, call.span.traceparent))
            data = handed_on(data, call.action, call.span, request.headers)
        elif self._gate.tracer and TRACEPARENT not in request.headers and call.action.traceparent is None:
            pairs.append((TRACEPARENT, not_recorded()))
        async with asyncio.timeout(self.upstream.response_timeout or None):
            answer = await self._http.request(
                request.method,
                _target(call.endpoint.upstream, query),
                headers=pairs,
                data=io.BytesIO(data) if len(data) > LARGE_BYTES else data or None,
                allow_redirects=False,
            )
        if answer.status < 200:
            answer.close()
            raise aiohttp.ClientPayloadError("another protocol, which nobody asked for")
        return answer

    def _read_on(self, asking: "asyncio.Task[aiohttp.ClientResponse]") -> None:
        """Let a request go on whose client has left, unless too many do already."""
        if len(self._draining) < MAX_DRAINING:
            task = asyncio.ensure_future(_drain(asking))
            self._draining.add(task)
            task.add_done_callback(self._draining.discard)
        elif not asking.done():
            asking.cancel()
        elif not asking.cancelled() and asking.exception() is None:
            asking.result().close()


class Call(NamedTuple):
    """A request that may pass: where to, from whom, what for."""

    endpoint: Endpoint
    caller: Principal
    action: Action
    body: Body
    started: float
    span: Span | None = None


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
        certificate=request.get_extra_info("peercert") if request.secure else None,
        traceparent=headers.get(TRACEPARENT),
    )


def _outlives_its_client(action: Action) -> bool:
    """Whether a request goes on when its client leaves: that is a cancellation only in the modern era."""
    return not is_modern(action.version) and action.method not in BODILESS.values()


def _is_plain(answer: aiohttp.ClientResponse) -> bool:
    return all(coding.lower() == "identity" for coding in answer.headers.getall("Content-Encoding", ()))


def _target(upstream: str, query: str) -> URL:
    """Return where a request goes, with the query byte for byte as it was judged."""
    url = URL(upstream)
    return URL(f"{url}?{query}", encoded=True) if query else url


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
