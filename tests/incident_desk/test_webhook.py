"""Alertmanager's webhook takes what Alertmanager sends, from Alertmanager, and nothing else."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from incident_desk.alerts import MalformedError, of_list, of_webhook
from incident_desk.incident import Alert
from tests.incident_desk.made import NOW, alert, notification, running

GOOD: dict[str, Any] = json.loads(notification(alert()))


def changed(**changes: Any) -> bytes:
    """Return a notification whose one alert differs."""
    return json.dumps({**GOOD, "alerts": [{**GOOD["alerts"][0], **changes}]}).encode()


HOSTILE = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "another version": json.dumps({**GOOD, "version": "3"}).encode(),
    "alerts that are none": json.dumps({**GOOD, "alerts": {"a": 1}}).encode(),
    "an alert that is none": json.dumps({**GOOD, "alerts": [1]}).encode(),
    "nested without end": b'{"version":"4","alerts":' + b"[" * 100_000,
    "half a surrogate pair": b'{"version":"4","alerts":[{"x":"\\ud800"}]}',
    "not UTF-8": b'{"version":"4","alerts":["\xff"]}',
    "no status": changed(status="maybe"),
    "no fingerprint": changed(fingerprint=""),
    "a path as fingerprint": changed(fingerprint="../../etc"),
    "a number as fingerprint": changed(fingerprint=7),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
async def test_what_alertmanager_would_not_send_is_refused_and_kept_nowhere(tmp_path: Path, body: bytes) -> None:
    async with running(tmp_path) as desk:
        assert await desk.send(body) == 400
        assert desk.desk.store.newest(1) == []
        assert 'mcp_incident_webhook_requests_total{result="malformed"} 1.0' in await desk.get("/metrics")
        assert await desk.send(notification(alert())) == 200


@pytest.mark.parametrize("token", ["", "wrong", "made-up-token2", "mäde-up", "made-up-toke"])
async def test_without_the_token_nothing_is_taken(tmp_path: Path, token: str) -> None:
    async with running(tmp_path) as desk:
        assert await desk.send(notification(alert()), token) == 401
        assert desk.desk.store.newest(1) == []
        assert 'mcp_incident_webhook_requests_total{result="unauthorized"} 1.0' in await desk.get("/metrics")


async def test_a_flood_without_the_token_is_counted_and_does_not_flood_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()
    async with running(tmp_path) as desk:
        for _ in range(50):
            assert await desk.send(b"{}", "wrong") == 401
        assert await desk.send(b"{}") == 400
        assert 'mcp_incident_webhook_requests_total{result="unauthorized"} 50.0' in await desk.get("/metrics")
    assert caplog.text.count("not taken: unauthorized") <= 1
    assert caplog.text.count("a notification was not taken") <= 2


async def test_a_token_that_is_no_text_is_a_wrong_one(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        for path in ("/alerts", "/acknowledge"):
            host, _, port = desk.url.removeprefix("http://").partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"POST %s HTTP/1.0\r\nAuthorization: Bearer \xff\r\nContent-Length: 0\r\n\r\n" % path.encode())
            assert (await reader.readline()).split()[1] == b"401"
            writer.close()


async def test_a_body_beyond_the_limit_is_refused_also_when_it_does_not_say_its_length(tmp_path: Path) -> None:
    async def parts() -> Any:
        for _ in range(100):
            yield b" " * 1000

    async with running(tmp_path, webhook={"token_file": "webhook_token", "max_bytes": 50_000}) as desk:
        assert await desk.send(b" " * 60_000) == 413
        headers = {"Authorization": "Bearer made-up-token"}
        async with desk.session.post(f"{desk.url}/alerts", data=parts(), headers=headers) as answer:
            assert answer.status == 413


ODD: dict[str, dict[str, Any]] = {
    "labels that are none": {"labels": ["a"]},
    "a label that is a number": {"labels": {"alertname": "AgentDown", "agent": 1}},
    "a name with a line break": {"labels": {"alertname": "AgentDown", "a\nb": "c"}},
    "a name without end": {"labels": {"alertname": "AgentDown", "a" * 300: "c"}},
    "too many labels": {"labels": {**{f"a{number}": "x" for number in range(70)}, "severity": "critical"}},
    "too many annotations": {"annotations": {f"a{number}": "x" for number in range(70)}},
    "no time": {"startsAt": "yesterday"},
    "a time that is a number": {"startsAt": 1e300},
    "the year 0": {"startsAt": "0000-01-01T00:00:00Z"},
    "the year 1": {"startsAt": "0001-01-01T00:00:00Z"},
    "before the year 1": {"startsAt": "0001-01-01T00:00:00+01:00"},
    "an end that is none": {"status": "resolved", "endsAt": None},
}


@pytest.mark.parametrize("changes", ODD.values(), ids=ODD)
async def test_an_odd_alert_is_cut_and_counted_and_hides_no_other(
    tmp_path: Path, changes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    good = json.loads(notification(alert("f2")))["alerts"][0]
    odd = {**GOOD["alerts"][0], **changes}
    async with running(tmp_path) as desk:
        assert await desk.send(notification(alert("f1"))) == 200
        for _ in range(2):
            assert await desk.send(json.dumps({**GOOD, "alerts": [odd, good]}).encode()) == 200
        assert {each.fingerprint for each in desk.desk.store.newest(9)} == {"f1", "f2"}
        assert all(each.opened >= each.started >= NOW for each in desk.desk.store.newest(9))
        assert 'mcp_incident_odd_alerts_total{handling="cut"} 2.0' in await desk.get("/metrics")
    assert caplog.text.count("an alert is not as Alertmanager sends it") == 1


async def test_an_alert_that_cannot_be_read_is_skipped_and_counted_and_hides_no_other(tmp_path: Path) -> None:
    good = json.loads(notification(alert("f2")))["alerts"][0]
    async with running(tmp_path) as desk:
        for hopeless in (7, {}, {**good, "fingerprint": None}, {**good, "status": "maybe"}):
            assert await desk.send(json.dumps({**GOOD, "alerts": [hopeless, good]}).encode()) == 200
        assert [each.fingerprint for each in desk.desk.store.newest(9)] == ["f2"]
        assert 'mcp_incident_odd_alerts_total{handling="skipped"} 4.0' in await desk.get("/metrics")


def test_of_too_many_labels_those_stay_by_which_an_alert_is_known() -> None:
    known = {"severity": "critical", "escalation": "immediate", "workflow": "w", "agent": "z"}
    body = changed(labels={**{f"a{number:03}": "x" for number in range(200)}, **known})
    [found], [odd] = of_webhook(body)
    assert known.items() <= found.labels.items()
    assert len(found.labels) == 64
    assert odd == ("cut", "unnamed", "of 204 labels 64 are kept")


async def test_a_database_that_cannot_write_lets_alertmanager_try_again(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        desk.desk.store._connection.execute("PRAGMA query_only = ON")
        assert await desk.send(notification(alert())) == 500
        assert "mcp_incident_write_errors_total 1.0" in await desk.get("/metrics")
        desk.desk.store._connection.execute("PRAGMA query_only = OFF")
        assert await desk.send(notification(alert())) == 200


def test_long_texts_are_cut_and_markup_stays_text() -> None:
    [found], _ = of_webhook(changed(annotations={"summary": "<b>" + "x" * 10_000}))
    assert len(found.annotations["summary"]) == 4096


def test_times_have_nanoseconds_and_zones() -> None:
    [found], _ = of_webhook(changed(startsAt="2027-01-15T09:00:00.123456789+01:00"))
    assert found.started == pytest.approx(NOW + 0.123456)


LISTED = {**ODD, "nothing odd": {}, "a state that is none": {"status": "active"}, "no receivers": {"receivers": 7}}


@pytest.mark.parametrize("changes", LISTED.values(), ids=LISTED)
def test_an_odd_alert_of_the_list_is_still_held(changes: dict[str, Any]) -> None:
    item = {**GOOD["alerts"][0], "receivers": [{"name": "slack"}], "status": {"state": "active"}, **changes}
    other = {**GOOD["alerts"][0], "fingerprint": "f2", "status": {"state": "suppressed"}, "receivers": []}
    found, _ = of_list(json.dumps([item, 7, other]).encode())
    assert [(each.fingerprint, each.is_suppressed) for each in found] == [("f1", False), ("f2", True)]


PLAIN = some.none() | some.booleans() | some.integers() | some.text(max_size=20)
JSON = PLAIN | some.lists(PLAIN, max_size=2) | some.dictionaries(some.text(max_size=5), PLAIN, max_size=2)


@given(some.dictionaries(some.sampled_from([*GOOD["alerts"][0]]), JSON, max_size=4))
def test_any_change_of_an_alert_is_either_read_or_refused(changes: dict[str, Any]) -> None:
    try:
        found = of_webhook(changed(**changes))
    except MalformedError:
        return
    assert all(isinstance(each, Alert) for each in found.alerts)
