"""Whether a route is ever heard follows from its time intervals."""

from datetime import UTC, datetime
from typing import Any

import pytest

from alertmanager.hours import TimeInterval, When, is_ever_heard

NOW = datetime(2026, 3, 2, 12, 7, tzinfo=UTC)
"""A Monday."""


def interval(*parts: dict[str, Any]) -> TimeInterval:
    return TimeInterval.model_validate({"name": "a", "time_intervals": parts})


ALWAYS = interval({})
MORNING = interval({"times": [{"start_time": "00:00", "end_time": "12:00"}]})
EVENING = interval({"times": [{"start_time": "12:00", "end_time": "24:00"}]})
WEEK = interval({"weekdays": ["monday:friday"]})
WEEKEND = interval({"weekdays": ["saturday", "Sunday"]})


@pytest.mark.parametrize(
    ("muted", "active", "expected"),
    [
        ([], [], True),
        ([ALWAYS], [], False),
        ([MORNING], [], True),
        ([MORNING, EVENING], [], False),
        ([WEEK], [], True),
        ([WEEK, WEEKEND], [], False),
        ([], [WEEK], True),
        ([WEEK], [WEEK], False),
        ([WEEK], [WEEK, WEEKEND], True),
        ([interval({"months": ["january:december"]})], [], False),
        ([interval({"months": ["2:12"]})], [], True),
        ([interval({"days_of_month": ["1:31"]})], [], False),
        ([interval({"days_of_month": ["1:-2"]})], [], True),
        ([interval({"years": ["2026:2027"]})], [], False),
        ([], [interval({"years": ["2020:2021"]})], False),
        ([interval({"times": [{"start_time": "00:00", "end_time": "24:00"}], "location": "Asia/Tokyo"})], [], False),
        ([], [interval()], False),
    ],
)
def test_a_route_is_heard_or_not(muted: list[TimeInterval], active: list[TimeInterval], expected: bool) -> None:
    assert is_ever_heard(muted, active, NOW) == expected


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"weekdays": ["monday"]}, True),
        ({"weekdays": ["sunday"]}, False),
        ({"weekdays": ["sunday:tuesday"]}, True),
        ({"days_of_month": ["-30"]}, True),
        ({"times": [{"start_time": "12:07", "end_time": "12:08"}]}, True),
        ({"times": [{"start_time": "12:00", "end_time": "12:07"}]}, False),
        ({"times": [{"start_time": "21:00", "end_time": "22:00"}], "location": "Asia/Tokyo"}, True),
        ({"months": ["march"], "years": ["2026"]}, True),
    ],
)
def test_a_moment_lies_in_a_part_of_the_calendar(part: dict[str, Any], expected: bool) -> None:
    assert When.model_validate(part).covers(NOW) == expected
