"""The running desk with a small Alertmanager: stages, restarts, silences, what it counts."""

from dataclasses import replace
from pathlib import Path

from tests.incident_desk.made import GRACE, NOW, QUARTER, World, alert, ended, running, stages, told, value


async def test_stages_are_told_in_their_time_and_kept_alive(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await told(desk, alert())
        await desk.after(QUARTER - 1)
        assert desk.world.posted == []
        await desk.after(1)
        assert desk.world.told() == [("lead", True)]
        await desk.after(60)
        assert desk.world.told() == [("lead", True)]
        await desk.after(2 * QUARTER)
        assert desk.world.told() == [("lead", True), ("head", True)]
        labels = {(each["labels"]["stage"], each["startsAt"]) for post in desk.world.posted for each in post}
        assert len(labels) == 2, "the same alert every time, so that Alertmanager tells once"


async def test_acknowledging_ends_what_was_told_and_nothing_follows(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await told(desk, alert())
        await desk.after(QUARTER)
        desk.desk.acknowledge([1], "Ada")
        await desk.after(0)
        assert desk.world.told() == [("lead", False)]
        count = len(desk.world.posted)
        await desk.after(3 * QUARTER)
        assert len(desk.world.posted) == count


async def test_the_end_of_the_alert_ends_what_was_told(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await told(desk, alert())
        await desk.after(QUARTER)
        await ended(desk, alert(ended=desk.world.now))
        await desk.after(0)
        assert desk.world.told() == [("lead", False)]


async def test_a_restart_tells_no_stage_anew_and_forgets_none(tmp_path: Path) -> None:
    world = World()
    async with running(tmp_path, world) as desk:
        await told(desk, alert())
        await desk.after(QUARTER)
        first = world.posted[-1]
    async with running(tmp_path, world) as desk:
        await desk.after(10)
        assert [each["startsAt"] for each in world.posted[-1]] == [each["startsAt"] for each in first]
        assert stages(desk) == ["lead"]
        await desk.after(2 * QUARTER)
        assert world.told() == [("lead", True), ("head", True)]


async def test_after_a_long_absence_the_stages_come_one_after_the_other(tmp_path: Path) -> None:
    world = World()
    async with running(tmp_path, world) as desk:
        await told(desk, alert())
    async with running(tmp_path, world) as desk:
        await desk.after(10 * QUARTER)
        assert world.told() == [("lead", True)]
        await desk.after(2 * QUARTER)
        assert world.told() == [("lead", True), ("head", True)]


async def test_a_silenced_alert_waits_and_counts_anew_when_it_speaks_again(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await told(desk, alert())
        await desk.after(QUARTER)
        desk.world.held["f1"] = "suppressed"
        await desk.after(60)
        assert desk.world.told() == [("lead", False)]
        await desk.after(3 * QUARTER)
        assert stages(desk) == ["lead"]
        desk.world.held["f1"] = "active"
        await desk.after(0)
        await desk.after(QUARTER - 1)
        assert stages(desk) == ["lead"]
        await desk.after(1)
        assert stages(desk) == ["lead", "lead"]
        assert desk.world.told() == [("lead", True)]


async def test_a_clock_that_is_put_back_makes_no_time_negative_and_delays_no_stage(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        desk.world.now += 7200
        await told(desk, alert("f1"), alert("f2"))
        desk.world.now = NOW
        desk.desk.acknowledge([1], "Ada")
        assert await value(desk, 'mcp_incident_acknowledge_seconds_sum{severity="critical"}') == 0
        assert await value(desk, "mcp_incident_times_clamped_total") == 1
        await desk.after(0)
        await desk.after(QUARTER)
        assert desk.world.told() == [("lead", True)]
        await ended(desk, alert("f2", ended=NOW - 60))
        assert "after -" not in await desk.get("/history")
        assert all(each.resolved is None or each.resolved >= each.started for each in desk.desk.store.newest(9))


async def test_times_are_measured_once_and_ends_when_the_grace_is_over(tmp_path: Path) -> None:
    world = World()
    async with running(tmp_path, world) as desk:
        await told(desk, alert(started=NOW - 20))
        assert await value(desk, 'mcp_incidents_open{severity="critical"}') == 1
        assert await value(desk, 'mcp_incident_detect_seconds_sum{severity="critical"}') == 20
        world.now += 40
        desk.desk.acknowledge([1], "Ada")
        desk.desk.acknowledge([1, 99], "Grace")
        assert await value(desk, 'mcp_incident_acknowledge_seconds_sum{severity="critical"}') == 40
        await ended(desk, alert(started=NOW - 20, ended=NOW + 40))
        await desk.after(GRACE - 1)
        assert await value(desk, 'mcp_incident_resolve_seconds_count{severity="critical"}') == 0
        await desk.after(1)
        await desk.after(1)
        assert await value(desk, 'mcp_incident_resolve_seconds_count{severity="critical"}') == 1
        assert await value(desk, 'mcp_incident_resolve_seconds_sum{severity="critical"}') == 60
        assert await value(desk, 'mcp_incidents_open{severity="critical"}') == 0
    async with running(tmp_path, world) as desk:
        await desk.after(1)
        for name in ("detect", "acknowledge", "resolve"):
            series = f'mcp_incident_{name}_seconds_count{{severity="critical"}}'
            assert await value(desk, series) == 1, "what was measured outlasts a restart, and is measured once"


async def test_detection_counts_from_when_the_condition_was_first_seen_in_metric_and_page_alike(tmp_path: Path) -> None:
    held = replace(alert("f1", started=NOW - 10), annotations={"condition_held": "2m"})
    odd = replace(alert("f2", started=NOW - 30), annotations={"condition_held": "soon"})
    async with running(tmp_path) as desk:
        await told(desk, held, odd)
        assert await value(desk, 'mcp_incident_detect_seconds_sum{severity="critical"}') == 130 + 30
        for bound, count in (("30.0", 1), ("60.0", 1), ("300.0", 2), ("+Inf", 2)):
            series = f'mcp_incident_detect_seconds_bucket{{le="{bound}",severity="critical"}}'
            assert await value(desk, series) == count
        page = await desk.get("/history")
        assert '<p class="score">1 min 20 s</p>' in page
        assert "told 2 min 10 s after the condition was first seen" in page


async def test_flapping_is_one_incident(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        for number in range(5):
            start = NOW + 100 * number
            desk.world.now = start
            await told(desk, alert(started=start))
            desk.world.now = start + 50
            await ended(desk, alert(started=start, ended=start + 50))
        [incident] = desk.desk.store.newest(10)
        assert incident.returns == 4


async def test_stages_are_counted_from_zero(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        series = 'mcp_incident_escalations_total{escalation="immediate",stage="lead"}'
        assert await value(desk, series) == 0
        await told(desk, alert())
        await desk.after(QUARTER)
        assert await value(desk, series) == 1


async def test_stages_may_change_while_it_runs(tmp_path: Path) -> None:
    async with running(tmp_path) as desk:
        await told(desk, alert())
        file = desk.folder / "escalation.yaml"
        file.write_text(file.read_text().replace("15m", "1m"))
        async with desk.session.post(f"{desk.url}/-/reload") as answer:
            assert answer.status == 200
        await desk.after(60)
        assert stages(desk) == ["lead"]
        file.write_text(file.read_text().replace("after: 1m", "after: soon"))
        async with desk.session.post(f"{desk.url}/-/reload") as answer:
            assert "escalation.yaml:" in await answer.text()


async def test_what_ended_long_ago_is_forgotten(tmp_path: Path) -> None:
    async with running(tmp_path, keep="1d") as desk:
        await told(desk, alert())
        await ended(desk, alert(ended=NOW))
        await desk.after(90_000)
        assert desk.desk.store.newest(10) == []
