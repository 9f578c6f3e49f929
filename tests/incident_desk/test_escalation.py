"""Escalation as a function of incident, policy and time."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as some

from incident_desk import escalation
from incident_desk.incident import Begun, Incident, follow
from rules.escalation import Escalations, Stage
from tests.incident_desk.made import GRACE, NOW, STAGES, alert, incident

POLICY = Escalations.model_validate({"escalations": STAGES}).stages("immediate")
LEAD, HEAD = POLICY


def begun(stage: Stage, at: float) -> Begun:
    return Begun(stage.name, stage.channels, at, at - NOW)


def test_the_first_stage_is_due_when_its_time_is_over() -> None:
    assert escalation.next_due(incident(), POLICY) == (LEAD, NOW + 15 * 60)


def test_the_second_stage_follows_and_then_nothing() -> None:
    first = incident(stages=(begun(LEAD, NOW + 900),))
    assert escalation.next_due(first, POLICY) == (HEAD, NOW + 2700)
    both = incident(stages=(begun(LEAD, NOW + 900), begun(HEAD, NOW + 2700)))
    assert escalation.next_due(both, POLICY) is None


def test_a_late_stage_gives_the_next_one_its_distance() -> None:
    late = incident(stages=(begun(LEAD, NOW + 7200),))
    assert escalation.next_due(late, POLICY) == (HEAD, NOW + 7200 + 30 * 60)


def test_nothing_is_due_once_acknowledged_resolved_or_silenced() -> None:
    for changes in ({"acknowledged": NOW}, {"resolved": NOW}, {"is_suppressed": True}):
        still = incident(stages=(begun(LEAD, NOW + 900),), **changes)
        assert escalation.next_due(still, POLICY) is None
        assert not escalation.is_due(still, still.stages[0])


def test_an_escalation_that_the_file_does_not_know_has_no_stages() -> None:
    assert Escalations.model_validate({"escalations": STAGES}).stages("none") == ()
    assert escalation.next_due(incident(), ()) is None


def test_after_a_silence_the_stages_come_again() -> None:
    again = incident(clock=NOW + 5000, stages=(begun(LEAD, NOW + 900),))
    assert escalation.next_due(again, POLICY) == (LEAD, NOW + 5900)
    assert not escalation.is_due(again, again.stages[0])


def test_the_time_in_which_the_alert_had_ended_does_not_count() -> None:
    ended = incident(resolved=NOW + 265)
    back = follow(ended, alert(started=NOW + 720), NOW + 730, GRACE)
    assert back is not None
    assert (back.paused, back.away) == (465, 455)
    assert back.waited(NOW + 730) == 265
    assert escalation.next_due(back, POLICY) == (LEAD, NOW + 465 + 900)


def test_a_stage_that_was_told_comes_again_with_the_alert_and_the_next_waits_for_its_time() -> None:
    ended = incident(resolved=NOW + 901, stages=(begun(LEAD, NOW + 900),))
    back = follow(ended, alert(started=NOW + 1490), NOW + 1501, GRACE)
    assert back is not None
    assert escalation.is_due(back, back.stages[0])
    assert escalation.next_due(back, POLICY) == (HEAD, NOW + 600 + 2700)


def test_the_message_about_what_came_back_does_not_say_that_it_fired_all_the_time() -> None:
    back = follow(incident(resolved=NOW + 265), alert(started=NOW + 720), NOW + 730, GRACE)
    assert back is not None
    at = NOW + 465 + 900
    escalated = replace(back, stages=(Begun("lead", ("email",), at, back.waited(at)),))
    annotations = told(escalated, at)["annotations"]
    assert annotations["summary"] == "Nobody has acknowledged for 15 min: f1 is down"
    assert "alert since 08:12:00 UTC.\nIt began at 08:00:00 UTC and has ended and" in annotations["description"]


@given(some.lists(some.floats(0, 20_000), min_size=1, max_size=40))
def test_stages_begin_in_order_each_once_and_never_early(steps: list[float]) -> None:
    now, current = NOW, incident()
    for step in steps:
        now += step
        due = escalation.next_due(current, POLICY)
        if due and due.at <= now:
            current = replace(current, stages=(*current.stages, begun(due.stage, now)))
    names = [each.stage for each in current.stages]
    assert names == [stage.name for stage in POLICY][: len(names)]
    assert all(each.at >= NOW + stage.after for each, stage in zip(current.stages, POLICY, strict=False))


def told(of: Incident, at: float = NOW + 900) -> dict[str, Any]:
    return escalation.alert(of, of.stages[0], "http://desk.example/", at)


def test_the_alert_of_a_stage_names_what_who_and_where_to_acknowledge() -> None:
    escalated = told(incident(stages=(begun(LEAD, NOW + 900),), told=("slack",)))
    assert escalated["labels"] == {
        "alertname": "EscalationDue",
        "alert": "AgentDown",
        "agent": "f1",
        "severity": "critical",
        "escalation": "immediate",
        "stage": "lead",
        "incident": "1",
    }
    annotations = escalated["annotations"]
    assert annotations["summary"] == "Nobody has acknowledged for 15 min: f1 is down"
    assert annotations["acknowledge_url"] == "http://desk.example/acknowledge"
    assert "slack" in annotations["description"]
    assert "stage lead: pagerduty" in annotations["description"]


def test_the_alert_of_a_stage_lives_while_it_is_due_and_then_ends() -> None:
    fires = incident(stages=(begun(LEAD, NOW + 900),))
    over = replace(fires, acknowledged=NOW + 1000, acknowledged_by="Ada")
    assert told(fires)["endsAt"] == "2027-01-15T08:25:00+00:00"
    assert told(over, NOW + 1000)["endsAt"] == "2027-01-15T08:16:40+00:00"
    assert told(fires)["labels"] == told(over, NOW + 1000)["labels"]
    assert told(over, NOW + 1000)["annotations"]["description"].endswith("Acknowledged at 08:16:40 UTC by Ada.")
