"""Plain HTTP health URL: the status is the answer."""

import asyncio
import time

from contract.vocabulary import ProbeOutcome
from exporter.exchange import Answer, HttpClient
from exporter.jsonrpc import BASE_HEADERS
from exporter.mcp_client import auth_failure, http_failure, is_refusal
from exporter.outcome import Failure, ProbeResult
from exporter.targets import Target

HEADERS = {**BASE_HEADERS, "Accept": "*/*"}
del HEADERS["Content-Type"]


class HttpProbe:
    """GET; any status of the 200s is healthy."""

    def __init__(self, target: Target) -> None:
        self._target = target

    async def __call__(self, http: HttpClient, timeout_seconds: float) -> ProbeResult:
        """Look once."""
        started = time.perf_counter()
        answer = await get(http, timeout_seconds)
        failure = answer if isinstance(answer, Failure) else judge(answer)
        outcome, detail = (failure.outcome, failure.detail) if failure else (ProbeOutcome.OK, "")
        return ProbeResult(outcome, time.perf_counter() - started, detail, http_status=http.status)


async def get(http: HttpClient, timeout_seconds: float, accept: str = "*/*") -> Answer | Failure:
    """Fetch the URL within the time."""
    http.status = 0
    headers = HEADERS if accept == "*/*" else {**HEADERS, "Accept": accept}
    try:
        async with asyncio.timeout(timeout_seconds):
            return await http.send("GET", headers)
    except TimeoutError:
        return Failure(ProbeOutcome.TIMEOUT, f"no complete answer within {timeout_seconds:g}s")


def judge(answer: Answer, asked: str = "the health URL") -> Failure | None:
    """Say what is wrong with a status, None when nothing is."""
    if answer.is_success:
        return None
    return auth_failure(answer) if is_refusal(answer) else http_failure(answer, asked)
