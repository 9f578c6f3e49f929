"""The statistics document, version 1, as DESIGN.md section 6 fixes it."""

import time
from typing import Any

import pytest

from contract.vocabulary import HumanKind, RunOutcome
from demo.engine.statistics import STEPS, Histogram, Statistics


def workflow(statistics: Statistics) -> dict[str, Any]:
    document = statistics.document()
    assert document["version"] == 1
    (found,) = document["workflows"]
    assert isinstance(found, dict)
    return found


def test_before_the_first_run_everything_is_there_at_zero() -> None:
    found = workflow(Statistics("pipeline_step"))
    assert found["name"] == "pipeline_step"
    assert found["runs"] == {outcome.value: 0 for outcome in RunOutcome}
    assert found["in_progress"] == {"plan": 0, "implementation": 0}
    assert found["queue"] == {"depth": 0, "oldest_seconds": 0.0}
    assert tuple(found["steps"]) == STEPS
    assert set(found["human"]) == {kind.value for kind in HumanKind}
    assert found["duration_seconds"]["count"] == found["iterations"]["count"] == 0
    assert "last_success_timestamp" not in found, "no success has no time"


def test_runs_are_counted_by_outcome_and_only_success_moves_its_time() -> None:
    statistics = Statistics("w")
    statistics.run_ended(RunOutcome.FAILED, 3.0, 1)
    assert "last_success_timestamp" not in workflow(statistics)
    statistics.run_ended(RunOutcome.COMPLETED, 12.0, 4)
    found = workflow(statistics)
    assert (found["runs"]["failed"], found["runs"]["completed"]) == (1, 1)
    assert abs(found["last_success_timestamp"] - time.time()) < 5
    assert found["duration_seconds"]["sum"] == 15.0
    assert (found["iterations"]["sum"], found["iterations"]["buckets"]["4"]) == (5.0, 2)


def test_buckets_are_cumulative_include_their_bound_and_leave_the_rest_to_the_count() -> None:
    histogram = Histogram((0.5, 1.0, 10.0))
    for value in (0.1, 0.5, 0.7, 10.0, 11.0):
        histogram.observe(value)
    assert histogram.document() == {"sum": 22.3, "count": 5, "buckets": {"0.5": 2, "1": 3, "10": 4}}


def test_a_step_is_timed_and_an_exception_is_its_failure() -> None:
    statistics = Statistics("w")
    with statistics.step("plan_validation"):
        pass
    with pytest.raises(ValueError, match="broken"), statistics.step("plan_validation"):
        raise ValueError("broken")
    step = workflow(statistics)["steps"]["plan_validation"]
    assert (step["failed"], step["duration_seconds"]["count"]) == (1, 2)


def test_phases_and_waits_are_gauges() -> None:
    statistics = Statistics("w")
    with (
        statistics.phase("plan"),
        statistics.waiting_for(HumanKind.APPROVAL),
        statistics.waiting_for(HumanKind.APPROVAL),
    ):
        found = workflow(statistics)
        assert found["in_progress"]["plan"] == 1
        assert found["human"]["approval"]["pending"] == 2
        assert found["human"]["approval"]["oldest_seconds"] >= 0
    found = workflow(statistics)
    assert found["in_progress"]["plan"] == 0
    assert found["human"]["approval"] == {"pending": 0, "oldest_seconds": 0.0}


def test_the_queue_tells_its_depth_and_its_oldest() -> None:
    statistics = Statistics("w")
    statistics.queued_since = [time.monotonic() - 30, time.monotonic()]
    queue = workflow(statistics)["queue"]
    assert queue["depth"] == 2
    assert 29 < queue["oldest_seconds"] < 40
