"""The forward-auth endpoint: nginx, Traefik, Envoy and Caddy ask here whether a request may pass.

An adapter of the gate like the proxy. `PATH` takes the original request from headers, `PATH/...` from the path itself
(Envoy). Only listed proxies are answered, and headers that contradict each other are refused, because a proxy may pass
on what its client sent under the other proxies' names.
"""

import asyncio
import functools
from functools import lru_cache
from typing import NamedTuple

from auth_sidecar import headers as headers_
from auth_sidecar.answers import Answer, Answers
from auth_sidecar.config_ports import ForwardAuth
from auth_sidecar.decision import FORWARD, Ask, Decision, Endpoint, has_query_token, printable
from auth_sidecar.gate import Gate
from auth_sidecar.lean_http import Question, Respond
from auth_sidecar.operation_metrics import known_method
from auth_sidecar.operations import MIRRORED, Action, Refused, read_headers
from auth_sidecar.principal import Principal
from auth_sidecar.spans import decision_ended
from auth_sidecar.token_cache import Caller
from auth_sidecar.tokens import Refusal
from contract.networks import is_within
from contract.tracing import TRACEPARENT
from contract.vocabulary import AuthReason

MAX_PLACES = 4096
"""Targets whose endpoint is remembered."""
MAX_REMEMBERED = 1024
"""Longest target, headers included, whose endpoint is remembered."""
MAX_ADDRESS = 64
"""Longest address of a client that is taken from a header."""
_SINGLE = frozenset({
    b"x-forwarded-uri", b"x-original-uri", b"x-forwarded-method", b"x-original-method", b"x-forwarded-host", b"host",
    b"authorization", b"origin", b"mcp-method", b"mcp-name", b"mcp-protocol-version",
})  # fmt: skip
"""Headers that decide something; a request with two of one kind is refused."""
_TRACEPARENT = TRACEPARENT.encode()
_BODILESS = {"GET": Action("http/get"), "DELETE": Action("http/delete")}
_PASSED_ON = frozenset({401, 403, 500, 503})
"""Statuses that every proxy understands; any other refusal becomes 403, because nginx makes an error of it."""
_CONTRADICTION = Refused(AuthReason.HEADER_MISMATCH, 403)
_PHRASES = {200: "OK", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 500: "Internal Server Error",
            503: "Service Unavailable"}  # fmt: skip


class Place(NamedTuple):
    """What a question is about: the original request's method and endpoint."""

    method: str
    endpoint: Endpoint | None
    has_query_token: bool
    is_contradictory: bool = False


class ForwardAuthEndpoint:
    """Answers questions of reverse proxies; `use` takes what a reload has replaced, between two questions."""

    def __init__(self, gate: Gate, config: ForwardAuth, answers: Answers) -> None:
        """Take what decides, and what refusals look like."""
        self._gate = gate
        self._path = config.path.encode()
        self._inner = self._path + b"/"
        self._is_trusted = lru_cache(maxsize=1024)(lambda peer: is_within(peer, config.trusted_proxies))
        self._tasks: set[asyncio.Task[None]] = set()
        self.use(answers)

    def use(self, answers: Answers) -> None:
        """Take what refusals look like, and forget where targets lead."""
        self._answers = answers
        self._place = lru_cache(maxsize=MAX_PLACES)(self._find)

    def handle(self, question: Question, respond: Respond) -> None:
        """Answer one question."""
        get = question.headers.get
        target, uri, other_uri = question.target, get(b"x-forwarded-uri"), get(b"x-original-uri")
        method, other_method = get(b"x-forwarded-method"), get(b"x-original-method")
        size = len(target) + len(uri or b"") + len(other_uri or b"") + len(method or b"") + len(other_method or b"")
        # What is remembered is bounded in size too; questions come from anybody's requests.
        find = self._place if size <= MAX_REMEMBERED else self._find
        place = find(question.method, target, method, other_method, uri, other_uri)
        if place is None:
            respond(encode(Answer(404, {}, b"")))
            return
        if not self._is_trusted(question.peer):
            self._gate.refuse_unread(FORWARD, question.peer, AuthReason.ORIGIN_NOT_ALLOWED, 403)
            respond(encode(Answer(403, {}, b"")))
            return
        ask, action = _ask(question, place), _action(question, place)
        if self._gate.tracer and _TRACEPARENT in question.headers:
            ask.traceparent = question.headers[_TRACEPARENT].decode("latin-1")
        if not self._gate.decide_now(ask, action, functools.partial(self._decided, ask, respond)):
            task = asyncio.ensure_future(self._decide_later(ask, action, respond))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def remembered(self) -> int:
        """Return how many targets are remembered."""
        return self._place.cache_info().currsize

    def malformed(self, peer: str) -> None:
        """Record that a proxy sent what is not HTTP."""
        self._gate.refuse_unread(FORWARD, peer)

    def _decided(self, ask: Ask, respond: Respond, caller: Caller | Refusal | None, decision: Decision) -> None:
        if ask.span and self._gate.tracer:
            decision_ended(self._gate.tracer, ask, decision, known_method(decision.method))
        if decision.status != 200 or not isinstance(caller, Caller):
            respond(refusal(self._answers, decision, ask.endpoint))
            return
        if not caller.answer:
            # Tokens of the same caller differ in times and id, which are not part of the answer.
            caller.answer = _allowed(caller.principal._replace(token_id="", issued_at=0.0, expires_at=0.0))
        respond(caller.answer)

    async def _decide_later(self, ask: Ask, action: Action | Refused, respond: Respond) -> None:
        async def read_action(_principal: Principal) -> Action | Refused:
            return action

        decision = await self._gate.decide(ask, read_action)
        caller = Caller(decision.principal) if decision.principal else None
        self._decided(ask, respond, caller, decision)

    def _find(
        self, method: bytes, target: bytes, forwarded_method: bytes | None, original_method: bytes | None,
        forwarded_uri: bytes | None, original_uri: bytes | None,
    ) -> Place | None:  # fmt: skip
        """Return the original request that a question is about; None when nothing is asked here."""
        is_contradictory = _differ(forwarded_method, original_method) or _differ(forwarded_uri, original_uri)
        if target.startswith(self._inner):
            uri = target[len(self._path) :]
        elif target == self._path:
            method, uri = forwarded_method or original_method or b"", forwarded_uri or original_uri or b""
        else:
            return None
        path, _, query = uri.decode("latin-1").partition("?")
        name = method.decode("latin-1")[:16]
        return Place(name, self._gate.rules.endpoints.get(path), has_query_token(query), is_contradictory)


@lru_cache(maxsize=4096)
def _allowed(principal: Principal) -> bytes:
    return encode(Answer(200, dict(headers_.identity(principal)), b""))


def refusal(answers: Answers, decision: Decision, endpoint: Endpoint | None) -> bytes:
    """Return a refusal as every proxy can pass it on."""
    answer = answers.refuse(decision, endpoint)
    status = answer.status if answer.status in _PASSED_ON else 403
    return encode(answer._replace(status=status))


def encode(answer: Answer) -> bytes:
    """Return an answer as it goes over the wire."""
    lines = [f"HTTP/1.1 {answer.status} {_PHRASES.get(answer.status, 'Refused')}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    lines += [f"Content-Length: {len(answer.body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + answer.body


def _differ(one: bytes | None, other: bytes | None) -> bool:
    return one is not None and other is not None and one != other


def _ask(question: Question, place: Place) -> Ask:
    get = question.headers.get
    authorization, forwarded, origin = get(b"authorization"), get(b"x-forwarded-for"), get(b"origin")
    request_id = get(b"x-request-id")
    return Ask(
        FORWARD,
        place.method,
        forwarded.decode("latin-1").rpartition(",")[2].strip()[:MAX_ADDRESS] if forwarded else question.peer,
        place.endpoint,
        (get(b"x-forwarded-host") or get(b"host", b"")).decode("latin-1"),
        origin.decode("latin-1") if origin is not None else None,
        () if authorization is None else (authorization.decode("latin-1"),),
        place.has_query_token,
        printable(request_id.decode("latin-1")) if request_id else "",
    )


def _action(question: Question, place: Place) -> Action | Refused:
    if place.is_contradictory or (question.repeated and not question.repeated.isdisjoint(_SINGLE)):
        return _CONTRADICTION
    if place.method == "POST":
        headers, endpoint = question.headers, place.endpoint
        mirrored = {name: headers[name.encode()].decode("latin-1") for name in MIRRORED if name.encode() in headers}
        return read_headers(mirrored, is_trusted=endpoint is not None and endpoint.headers_are_validated)
    return _BODILESS.get(place.method) or Refused(AuthReason.UNMAPPED_OPERATION, 403)
