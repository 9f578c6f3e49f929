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
    "labels that are none": changed(labels=["a"]),
    "a label that is a number": changed(labels={"alertname": 1}),
    "a name with a line break": changed(labels={"a\nb": "c"}),
    "too many labels": changed(labels={f"l{number}": "x" for number in range(65)}),
    "no time": changed(startsAt="yesterday"),
    "a time that is a number": changed(startsAt=1e300),
    "an end that is none": changed(status="resolved", endsAt=None),
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


async def test_a_database_that_cannot_write_lets_alertmanager_try_again(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        desk.desk.store._connection.execute("PRAGMA query_only = ON")
        assert await desk.send(notification(alert())) == 500
        desk.desk.store._connection.execute("PRAGMA query_only = OFF")
        assert await desk.send(notification(alert())) == 200


def test_long_texts_are_cut_and_markup_stays_text() -> None:
    [found] = of_webhook(changed(annotations={"summary": "<b>" + "x" * 10_000}))
    assert len(found.annotations["summary"]) == 4096


def test_times_have_nanoseconds_and_zones() -> None:
    [found] = of_webhook(changed(startsAt="2027-01-15T09:00:00.123456789+01:00"))
    assert found.started == pytest.approx(NOW + 0.123456)


def test_the_list_tells_who_is_told_and_what_is_silenced_or_muted() -> None:
    item = {**GOOD["alerts"][0], "receivers": [{"name": "slack"}], "status": {"state": "active", "mutedBy": ["night"]}}
    [muted] = of_list(json.dumps([item]).encode())
    assert (muted.is_suppressed, muted.receivers, muted.ended) == (True, ("slack",), None)
    with pytest.raises(MalformedError):
        of_list(json.dumps([{**item, "status": "active"}]).encode())


PLAIN = some.none() | some.booleans() | some.integers() | some.text(max_size=20)
JSON = PLAIN | some.lists(PLAIN, max_size=2) | some.dictionaries(some.text(max_size=5), PLAIN, max_size=2)


@given(some.dictionaries(some.sampled_from([*GOOD["alerts"][0]]), JSON, max_size=4))
def test_any_change_of_an_alert_is_either_read_or_refused(changes: dict[str, Any]) -> None:
    try:
        found = of_webhook(changed(**changes))
    except MalformedError:
        return
    assert all(isinstance(each, Alert) for each in found)
