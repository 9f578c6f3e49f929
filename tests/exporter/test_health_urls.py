"""Plain health URLs: by status, and in the IETF's health+json form."""

import json

import pytest

from contract.vocabulary import ProbeOutcome
from exporter.exchange import Answer
from exporter.outcome import Identity
from exporter.probes import health_json
from tests.exporter.conftest import Look
from tests.exporter.servers import Request, always, answering, http, serving


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, ProbeOutcome.OK),
        (204, ProbeOutcome.OK),
        (301, ProbeOutcome.HTTP_ERROR),
        (401, ProbeOutcome.AUTH_ERROR),
        (403, ProbeOutcome.AUTH_ERROR),
        (404, ProbeOutcome.HTTP_ERROR),
        (500, ProbeOutcome.HTTP_ERROR),
        (503, ProbeOutcome.HTTP_ERROR),
    ],
)
async def test_status_of_a_health_url_is_the_answer(look: Look, status: int, outcome: ProbeOutcome) -> None:
    async with serving(
        always(http(status, "" if status == 204 else "any body", "text/plain", location="/elsewhere"))
    ) as url:
        result = await look(f"{url}/healthz", probe="http")
    assert (result.outcome, result.http_status) == (outcome, status)
    assert (result.identity, result.tools) == (None, None)


async def test_health_url_is_asked_as_configured(look: Look) -> None:
    seen: list[Request] = []

    def noted(request: Request) -> bytes:
        seen.append(request)
        return http(200)

    async with serving(answering(noted)) as url:
        await look(f"{url}/a%2Fb?deep=1", probe="http")
        await look(f"{url}/health", probe="health_json")
    assert [(request.method, request.path) for request in seen] == [("GET", "/a%2Fb?deep=1"), ("GET", "/health")]
    assert seen[1].headers["accept"] == "application/health+json, application/json"
    assert all(request.headers["accept-encoding"] == "identity" for request in seen)
    assert all(request.headers["user-agent"].startswith("mcp-lookout-exporter/") for request in seen)


@pytest.mark.parametrize("probe", ["http", "health_json"])
async def test_silent_health_url_is_a_timeout(look: Look, probe: str) -> None:
    async with serving(always(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")) as url:
        result = await look(url, probe=probe, timeout=0.2)
    assert (result.outcome, result.detail) == (ProbeOutcome.TIMEOUT, "no complete answer within 0.2s")


@pytest.mark.parametrize("probe", ["http", "health_json"])
async def test_health_url_out_of_reach_is_a_connect_error(look: Look, probe: str) -> None:
    result = await look("http://127.0.0.1:1/health", probe=probe)
    assert (result.outcome, result.http_status) == (ProbeOutcome.CONNECT_ERROR, 0)


@pytest.mark.parametrize(
    ("status", "document", "outcome", "detail"),
    [
        (200, {"status": "pass"}, ProbeOutcome.OK, ""),
        (200, {"status": "OK"}, ProbeOutcome.OK, ""),
        (200, {"status": "up"}, ProbeOutcome.OK, ""),
        (207, {"status": "warn", "output": "disk 91 %"}, ProbeOutcome.DEGRADED, "reports warn: disk 91 %"),
        (200, {"status": "warn", "notes": ["slow"]}, ProbeOutcome.DEGRADED, "reports warn: slow"),
        (503, {"status": "fail"}, ProbeOutcome.HTTP_ERROR, "status 503, reports fail"),
        (200, {"status": "down", "output": "no db"}, ProbeOutcome.HTTP_ERROR, "status 200, reports down: no db"),
        (503, {"status": "pass"}, ProbeOutcome.HTTP_ERROR, "the health URL is answered with status 503"),
        (401, {}, ProbeOutcome.AUTH_ERROR, "status 401; no challenge"),
        (200, {"status": "fine"}, ProbeOutcome.PROTOCOL_ERROR, None),
        (200, {"status": None}, ProbeOutcome.PROTOCOL_ERROR, None),
        (200, {}, ProbeOutcome.PROTOCOL_ERROR, None),
        (200, [], ProbeOutcome.PROTOCOL_ERROR, None),
        (200, "x", ProbeOutcome.PROTOCOL_ERROR, None),
    ],
)
def test_health_document_decides(status: int, document: object, outcome: ProbeOutcome, detail: str | None) -> None:
    found, why, _ = health_json.read(Answer(status, {}, json.dumps(document).encode()))
    assert found is outcome
    assert why == detail or detail is None


async def test_health_document_names_its_service(look: Look) -> None:
    document = {"status": "pass", "serviceId": "search", "releaseId": "2.1", "version": "2"}
    async with serving(always(http(200, json.dumps(document), "application/health+json"))) as url:
        result = await look(url, probe="health_json")
    assert (result.outcome, result.identity) == (ProbeOutcome.OK, Identity("none", "", "search", "2.1"))


async def test_web_page_is_no_health_document(look: Look) -> None:
    async with serving(always(http(200, "<h1>It works</h1>", "text/html"))) as url:
        result = await look(url, probe="health_json")
    assert result.outcome is ProbeOutcome.PROTOCOL_ERROR
