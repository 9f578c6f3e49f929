"""The running desk in trouble: lost and late messages, a failing Alertmanager, a full disk, a clock put back."""

from pathlib import Path

import pytest

from incident_desk.escalation import LIVES_SECONDS
from tests.incident_desk.made import (
    NOW,
    QUARTER,
    World,
    alert,
    ended,
    full_disk,
    notification,
    running,
    stages,
    told,
    value,
)


async def test_an_end_that_could_not_be_told_is_told_later(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await told(desk, alert())
        await desk.after(QUARTER)
        desk.world.is_down = True
        desk.desk.acknowledge([1], "Ada")
        await desk.after(1)
        desk.world.is_down = False
        await desk.after(1)
        assert desk.world.told() == [("lead", False)]
        assert await value(desk, 'mcp_incident_alertmanager_requests_total{request="read",result="failure"}') == 1


async def test_no_stage_begins_while_alertmanager_cannot_be_asked(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await told(desk, alert())
        desk.world.is_down = True
        await desk.after(QUARTER)
        assert stages(desk) == []
        assert "Nothing new escalates: http://127.0.0.1" in await desk.get("/")
        desk.world.is_down = False
        await desk.after(0)
        assert stages(desk) == ["lead"]


async def test_what_was_told_lives_on_while_alertmanagers_list_cannot_be_read(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await told(desk, alert())
        await desk.after(QUARTER)
        desk.world.list_status = 500
        await desk.after(LIVES_SECONDS - 10)
        assert desk.world.told() == [("lead", True)]
        await desk.after(2 * QUARTER)
        assert desk.world.told() == [("lead", True)]
        assert desk.desk.store.open(), "not known to have ended"
        desk.world.list_status = 200
        desk.world.held.clear()
        await desk.after(1)
        await desk.after(120)
        assert desk.world.told() == [("lead", False)]


async def test_an_odd_alert_in_alertmanagers_list_keeps_no_stage_from_beginning(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await told(desk, alert())
        desk.world.odd = [{"fingerprint": "f9", "labels": {f"l{number}": "x" for number in range(70)}}, 7]
        await desk.after(QUARTER)
        assert desk.world.told() == [("lead", True)]
        assert await value(desk, 'mcp_incident_odd_alerts_total{handling="cut"}') > 0
        assert await value(desk, 'mcp_incident_odd_alerts_total{handling="skipped"}') > 0
        assert "Nothing new escalates" not in await desk.get("/")


async def test_with_a_full_disk_nothing_is_claimed_and_what_was_told_lives_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counted = 'mcp_incident_escalations_total{{escalation="immediate",stage="{}"}}'
    async with running(tmp_path) as desk:
        await told(desk, alert("f1"))
        await desk.after(QUARTER)
        await told(desk, alert("f2"))
        with full_disk(desk.desk.settings.desk.database):
            await desk.after(0)
            async with desk.session.get(f"{desk.url}/-/ready") as answer:
                assert (answer.status, "incidents.db cannot be written" in await answer.text()) == (503, True)
            assert await desk.send(notification(alert("f3"))) == 500
            status, text = await desk.post("/acknowledge", {"incident": "1", "by": "Ada"})
            assert (status, text.startswith("Nothing was stored: incidents.db cannot be written")) == (503, True)
            for _ in range(6):
                await desk.after(LIVES_SECONDS - 10)
            assert desk.world.told() == [("lead", True)], "it lives on, and nothing follows that is not on disk"
            assert await value(desk, counted.format("lead")) == 1
            assert await value(desk, counted.format("head")) == 0
            assert await value(desk, "mcp_incident_write_errors_total") >= 8
            assert caplog.text.count("the database cannot be used") == 1
            assert "Nothing escalates and nobody can acknowledge: incidents.db" in await desk.get("/acknowledge")
        await desk.after(1)
        assert await desk.get("/-/ready") == "ready\n"
        assert sorted(desk.world.told()) == [("head", True), ("lead", True), ("lead", True)]
        assert await value(desk, counted.format("head")) == 1
        assert (await desk.post("/acknowledge", {"incident": "1", "by": "Ada"}))[0] == 303


async def test_what_alertmanager_no_longer_knows_ends_after_a_while(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await told(desk, alert())
        desk.world.held.clear()
        await desk.after(10)
        await desk.after(119)
        assert desk.desk.store.open()
        await desk.after(1)
        [incident] = desk.desk.store.newest(1)
        assert incident.resolved == NOW + 10


async def test_what_was_taken_for_ended_and_still_fires_goes_on_without_a_new_message(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await told(desk, alert())
        await desk.after(1)
        desk.world.held.clear()
        await desk.after(10)
        await desk.after(200)
        assert desk.desk.store.open() == []
        desk.world.held["f1"] = "active"
        await desk.after(60)
        [incident] = desk.desk.store.open()
        assert (incident.id, incident.returns, incident.is_found) == (1, 1, False)


async def test_an_answer_older_than_the_end_does_not_open_it_again(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await told(desk, alert())
        assert await desk.send(notification(alert(ended=NOW))) == 200
        await desk.desk.round()
        assert desk.desk.store.open() == []


async def test_alertmanager_started_again_ends_no_escalation(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await told(desk, alert())
        await desk.after(QUARTER)
        desk.world.held.clear()
        await desk.after(15)
        assert desk.world.told() == [("lead", True)]
        desk.world.held["f1"] = "active"
        await desk.after(3600)
        assert desk.desk.store.open()


async def test_what_began_while_the_desk_was_down_is_taken_over_at_its_start(tmp_path: Path) -> None:
    world = World(held={"f1": "active", "f2": "suppressed"}, now=NOW + 3600)
    async with running(tmp_path, world) as desk:
        await desk.after(0)
        [incident] = desk.desk.store.newest(10)
        assert (incident.fingerprint, incident.is_found, incident.told) == ("f1", True, ("slack",))
        assert await value(desk, 'mcp_incident_detect_seconds_count{severity="critical"}') == 0
        world.held |= {"f2": "active", "f3": "active"}
        await desk.after(600)
        assert len(desk.desk.store.newest(10)) == 1, "later ones are told, when people are"


async def test_what_was_taken_over_counts_for_no_time_that_is_not_known(tmp_path: Path) -> None:
    async with running(tmp_path, World(held={"f1": "active"}, now=NOW + 3600)) as desk:
        await desk.after(0)
        desk.world.now += 60
        desk.desk.acknowledge([1], "Ada")
        for name in ("detect", "acknowledge"):
            assert await value(desk, f'mcp_incident_{name}_seconds_count{{severity="critical"}}') == 0
        page = await desk.get("/history")
        assert page.count("of 0") == 3
        assert "told slack before the desk was there" in page
        assert "acknowledged by Ada</span>" in page
        assert "before the desk was there" in await desk.get("/")


async def test_what_alertmanager_still_gathers_is_not_taken_over_before_people_are_told(tmp_path: Path) -> None:
    world = World(held={"f1": "active", "f2": "active"}, now=NOW + 5)
    async with running(tmp_path, world) as desk:
        await desk.after(0)
        assert desk.desk.store.newest(10) == []
        await desk.after(5)
        await told(desk, alert("f1"))
        await desk.after(109)
        [incident] = desk.desk.store.newest(10)
        assert (incident.fingerprint, incident.opened, incident.is_found) == ("f1", NOW + 10, False)
        await desk.after(1)
        [second, _] = desk.desk.store.newest(10)
        assert (second.fingerprint, second.is_found) == ("f2", True), "its message went to the desk before, or was lost"


async def test_a_message_that_comes_late_opens_nothing_again(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await told(desk, alert())
        await desk.after(60)
        await ended(desk, alert(ended=NOW + 60))
        await desk.after(3 * 86400)
        assert await desk.send(notification(alert())) == 200
        await desk.after(1)
        assert desk.desk.store.open() == []
        desk.world.held["f1"] = "active"
        await desk.after(1)
        [incident] = desk.desk.store.open()
        assert (incident.id, incident.returns) == (1, 1), "Alertmanager's list knows better"
