"""What Alertmanager and Prometheus tell: read into values, odd answers made harmless."""

import datetime
import json
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import pytest

from exporter.config import Check
from exporter.exchange import HttpClient
from exporter.health import alerts, checks
from exporter.health.alerts import Alert
from tests.exporter.servers import always, http, serving

CHECK = Check(query="up", good=0, bad=1)


def alert(name: str, severity: str = "critical", minutes: int = 0, state: str = "active") -> dict[str, Any]:
    return {
        "labels": {"alertname": name, "severity": severity, "component": "agents", "agent": "planner-2"},
        "annotations": {
            "summary": f"{name} happened",
            "description": "more",
            "runbook_url": f"http://localhost:9820/runbooks/{name}",
            "dashboard_url": "https://grafana/d/x",
        },
        "startsAt": f"2026-11-20T12:{minutes:02}:00.000Z",
        "generatorURL": "http://prometheus/graph",
        "status": {"state": state},
    }


async def told(session: aiohttp.ClientSession, answer: bytes) -> list[Alert] | str:
    async with serving(always(answer)) as url:
        return await alerts.read(HttpClient(session, url), 0.5)


async def read(session: aiohttp.ClientSession, *listed: object) -> list[Alert]:
    found = await told(session, http(200, json.dumps(listed)))
    assert not isinstance(found, str)
    return found


async def test_alerts_are_read_worst_and_oldest_first(session: aiohttp.ClientSession) -> None:
    read_alerts = await read(
        session,
        alert("Late", minutes=9),
        alert("Minor", "minor"),
        alert("Quiet", state="suppressed"),
        alert("Early", minutes=1),
        alert("Odd", "loud"),
    )
    assert [one.name for one in read_alerts] == ["Early", "Late", "Minor", "Odd", "Quiet"]
    assert read_alerts[0].since == datetime.datetime(2026, 11, 20, 12, 1, tzinfo=datetime.UTC)
    assert read_alerts[0].links["runbook"] == "http://localhost:9820/runbooks/Early"
    assert [one.is_alarm for one in read_alerts] == [True, True, False, False, False]


async def test_an_alert_leads_to_where_exactly_it_is_acknowledged(session: aiohttp.ClientSession) -> None:
    open_alert = alert("Open")
    open_alert["annotations"]["acknowledge_url"] = "http://localhost:9822/acknowledge"
    open_alert["labels"]["agent"] = "a&b=c"
    (found,) = await read(session, open_alert)
    path, _, query = found.links["acknowledge"].partition("?")
    assert path == "http://localhost:9822/acknowledge"
    assert dict(parse_qsl(query)) == found.labels


async def test_links_that_no_browser_should_follow_are_left_out(session: aiohttp.ClientSession) -> None:
    nasty = alert("Nasty")
    nasty["annotations"]["runbook_url"] = "javascript:alert(1)"
    nasty["generatorURL"] = "data:text/html,x"
    (found,) = await read(session, nasty)
    assert found.links == {"dashboard": "https://grafana/d/x"}


async def test_odd_alert_is_still_an_alert(session: aiohttp.ClientSession) -> None:
    odd: list[object] = [{}, {"labels": {"alertname": 7}, "startsAt": "noon", "status": "x"}, "no alert"]
    found = await read(session, *odd)
    assert [one.name for one in found] == ["unnamed", "unnamed"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (http(200, "<html>"), "not JSON"),
        (http(200, "{}"), "not a list"),
        (http(503), "http_error"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n", "timeout"),
    ],
)
async def test_alertmanager_that_cannot_be_read_says_why(
    session: aiohttp.ClientSession, answer: bytes, why: str
) -> None:
    found = await told(session, answer)
    assert isinstance(found, str)
    assert why in found


def vector(*values: object) -> bytes:
    result = [{"metric": {}, "value": [1, value]} for value in values]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (vector("0.5"), 0.5),
        (vector("0.5", "3", "1"), 3),
        (vector("NaN", "2"), 2),
        (vector("+Inf"), float("inf")),
        (b'{"status": "success", "data": {"resultType": "scalar", "result": [1, "4"]}}', 4),
        (vector(), "no data in Prometheus"),
        (vector("NaN"), "no data in Prometheus"),
        (vector("x"), "no data in Prometheus"),
        (b'{"status": "success", "data": {"resultType": "matrix", "result": []}}', "no data in Prometheus"),
        (b'{"status": "success"}', "no data in Prometheus"),
        (b'{"status": "error", "error": "parse error"}', "Prometheus refuses the query: parse error"),
        (b"[]", "Prometheus refuses the query: None"),
        (b"<html>", "Prometheus answers with status 200, and not JSON"),
    ],
)
def test_worst_value_of_a_query_counts(body: bytes, expected: float | str) -> None:
    assert checks.judge(body, 200, CHECK) == expected


def test_smallest_value_is_the_worst_where_less_is_worse() -> None:
    assert checks.judge(vector("5", "2"), 200, Check(query="x", good=10, bad=0)) == 2


async def test_prometheus_out_of_reach_says_so(session: aiohttp.ClientSession) -> None:
    found = await checks.read(HttpClient(session, "http://127.0.0.1:1"), CHECK, 1)
    assert isinstance(found, str)
    assert found.startswith("Prometheus: ClientConnectorError")
