"""Health URL in the IETF's health+json form (draft-inadarei-api-health-check): pass, warn or fail."""

import time
from typing import Any

import orjson

from contract.vocabulary import ProbeOutcome
from exporter.exchange import Answer, HttpClient
from exporter.jsonrpc import label_of, text_of
from exporter.outcome import Failure, Identity, ProbeResult
from exporter.probes.http import get, judge
from exporter.targets import Target

ACCEPT = "application/health+json, application/json"
PASS = frozenset({"pass", "ok", "up"})
WARN = frozenset({"warn"})
FAIL = frozenset({"fail", "error", "down"})


class HealthJsonProbe:
    """GET; the document's status decides, and `warn` is degraded."""

    def __init__(self, target: Target) -> None:
        self._target = target

    async def __call__(self, http: HttpClient, timeout_seconds: float) -> ProbeResult:
        """Look once."""
        started = time.perf_counter()
        answer = await get(http, timeout_seconds, ACCEPT)
        duration = time.perf_counter() - started
        if isinstance(answer, Failure):
            return ProbeResult(answer.outcome, duration, answer.detail, http_status=http.status)
        outcome, detail, identity = read(answer)
        return ProbeResult(outcome, duration, detail, identity, http.status)


def read(answer: Answer) -> tuple[ProbeOutcome, str, Identity | None]:
    """Judge an answer: outcome, why, and what the service says it is."""
    document = _document(answer.body)
    status = str(document.get("status", "")).lower() if document else ""
    if status in FAIL:
        return (
            ProbeOutcome.HTTP_ERROR,
            f"status {answer.status}, reports {status}{_reason(document)}",
            _identity(document),
        )
    if failure := judge(answer):
        return failure.outcome, failure.detail, None
    if status in WARN:
        return ProbeOutcome.DEGRADED, f"reports {status}{_reason(document)}", _identity(document)
    if status in PASS:
        return ProbeOutcome.OK, "", _identity(document)
    return (
        ProbeOutcome.PROTOCOL_ERROR,
        "the answer is no health+json document with a status of pass, warn or fail",
        None,
    )


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _reason(document: dict[str, Any]) -> str:
    notes = document.get("notes")
    first = notes[0] if isinstance(notes, list) and notes else ""
    reason = text_of(document.get("output"), 200) or text_of(first, 200)
    return f": {reason}" if reason else ""


def _identity(document: dict[str, Any]) -> Identity:
    name = label_of(document.get("serviceId")) or label_of(document.get("description"))
    return Identity("none", "", name, label_of(document.get("releaseId")) or label_of(document.get("version")))
