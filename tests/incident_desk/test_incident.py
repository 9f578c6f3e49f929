"""What each message makes of an incident: opened once, ended once, gone on after a short return."""

from dataclasses import replace

import pytest

from incident_desk.incident import acknowledged, follow, is_skewed, observed
from tests.incident_desk.made import GRACE, NOW, alert, incident


def test_the_first_message_opens_an_incident() -> None:
    opened = follow(None, alert(started=NOW - 20), NOW, GRACE)
    assert opened is not None
    assert (opened.started, opened.opened, opened.clock, opened.resolved) == (NOW - 20, NOW, NOW, None)
    assert (opened.name, opened.severity, opened.escalation) == ("AgentDown", "critical", "immediate")


def test_a_repeated_message_changes_nothing() -> None:
    assert follow(incident(), alert(), NOW + 3600, GRACE) is None


def test_the_end_resolves_and_is_taken_once() -> None:
    ended = follow(incident(), alert(ended=NOW + 60), NOW + 70, GRACE)
    assert ended is not None
    assert ended.resolved == NOW + 60
    assert follow(ended, alert(ended=NOW + 60), NOW + 80, GRACE) is None


def test_the_end_of_what_was_never_told_is_no_incident() -> None:
    assert follow(None, alert(ended=NOW), NOW, GRACE) is None


def test_what_comes_back_within_the_grace_goes_on_with_its_acknowledgement() -> None:
    ended = replace(incident(), resolved=NOW + 60, acknowledged=NOW + 30, acknowledged_by="Ada")
    back = follow(ended, alert(started=NOW + 60 + GRACE), NOW + 60 + GRACE, GRACE)
    assert back is not None
    assert (back.id, back.resolved, back.returns, back.acknowledged_by) == (1, None, 1, "Ada")


def test_what_comes_back_later_is_another_incident() -> None:
    ended = replace(incident(), resolved=NOW + 60)
    back = follow(ended, alert(started=NOW + 61 + GRACE), NOW + 61 + GRACE, GRACE)
    assert back is not None
    assert (back.id, back.returns) == (0, 0)


def test_what_was_never_away_goes_on_however_long_it_was_missing() -> None:
    ended = replace(incident(), resolved=NOW + 60)
    back = follow(ended, alert(started=NOW), NOW + 10 * GRACE, GRACE)
    assert back is not None
    assert back.id == 1


def test_a_late_message_about_an_earlier_end_does_not_end_what_has_come_back() -> None:
    back = replace(incident(), fired=NOW + 100, returns=1)
    assert follow(back, alert(started=NOW, ended=NOW + 50), NOW + 110, GRACE) is None


def test_the_end_of_what_several_prometheis_sent_is_taken_though_its_start_went_back() -> None:
    again = follow(incident(), alert(started=NOW - 30), NOW + 10, GRACE)
    ended = follow(again or incident(), alert(started=NOW - 30, ended=NOW + 60), NOW + 70, GRACE)
    assert ended is not None
    assert (ended.id, ended.resolved) == (1, NOW + 60)


@pytest.mark.parametrize(
    ("started", "ended", "wanted"),
    [
        (NOW + 3600, None, (NOW, None)),
        (NOW - 10, NOW + 3600, (NOW - 10, NOW)),
        (NOW - 10, NOW - 99, (NOW - 10, NOW - 10)),
    ],
)
def test_times_of_clocks_that_disagree_never_become_negative(
    started: float, ended: float | None, wanted: tuple[float, float | None]
) -> None:
    opened = follow(None, alert(started=started), NOW, GRACE)
    after = follow(opened, alert(started=started, ended=ended), NOW, GRACE) or opened
    assert after is not None
    assert (after.started, after.resolved) == wanted
    assert is_skewed(alert(started=started, ended=ended), NOW)
    assert not is_skewed(alert(started=NOW + 0.5), NOW)


def test_somebody_takes_it_on_once_and_only_while_it_is_open() -> None:
    taken = acknowledged(incident(), "Ada", NOW + 5)
    assert taken is not None
    assert (taken.acknowledged, taken.acknowledged_by) == (NOW + 5, "Ada")
    assert acknowledged(taken, "Grace", NOW + 6) is None
    assert acknowledged(incident(resolved=NOW), "Grace", NOW + 6) is None


def test_the_end_of_a_silence_lets_the_time_count_anew() -> None:
    silent = observed(incident(), replace(alert(), is_suppressed=True), NOW + 60)
    assert not silent.waits
    loud = observed(silent, alert(), NOW + 600)
    assert loud.waits
    assert loud.clock == NOW + 600
    assert loud.opened == NOW


def test_an_alert_without_our_words_counts_as_minor_and_does_not_escalate() -> None:
    foreign = follow(None, replace(alert(), labels={"severity": "page"}), NOW, GRACE)
    assert foreign is not None
    assert (foreign.name, foreign.severity, foreign.escalation) == ("unnamed", "minor", "none")
