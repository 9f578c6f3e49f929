"""Time intervals of an alertmanager.yml, and whether a route that has them ever speaks.

https://prometheus.io/docs/alerting/latest/configuration/#time_interval
"""

import calendar
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count, takewhile
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import PlainValidator

from contract.config import ForeignModel

_DAYS = {name.lower(): (number + 1) % 7 for number, name in enumerate(calendar.day_name)}
_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_name) if name}
_LOOK_AHEAD = timedelta(days=366)
_STEP = timedelta(minutes=30)

Span = tuple[int, int]


def _span(words: Mapping[str, int]) -> Callable[[object], Span]:
    def parse(value: object) -> Span:
        parts = [part.strip().lower() for part in str(value).split(":")]
        try:
            numbers = [words[part] if part in words else int(part) for part in parts]
        except ValueError:
            numbers = []
        if len(numbers) not in (1, 2):
            raise ValueError(f"{value!r} is no range; write first:last")
        return numbers[0], numbers[-1]

    return parse


def _minute(value: object) -> int:
    hours, _, minutes = str(value).partition(":")
    if not (hours.isdigit() and minutes.isdigit() and int(hours) * 60 + int(minutes) <= 24 * 60):
        raise ValueError(f"{value!r} is no time of day; write 09:00")
    return int(hours) * 60 + int(minutes)


def _zone(value: object) -> ZoneInfo:
    try:
        return ZoneInfo(str(value))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{value!r} is no time zone; write Europe/Berlin") from None


class _Clock(ForeignModel):
    start_time: Annotated[int, PlainValidator(_minute)]
    end_time: Annotated[int, PlainValidator(_minute)]


class When(ForeignModel):
    """Part of the calendar: all of its conditions hold; what is left out is always."""

    times: tuple[_Clock, ...] = ()
    weekdays: tuple[Annotated[Span, PlainValidator(_span(_DAYS))], ...] = ()
    days_of_month: tuple[Annotated[Span, PlainValidator(_span({}))], ...] = ()
    months: tuple[Annotated[Span, PlainValidator(_span(_MONTHS))], ...] = ()
    years: tuple[Annotated[Span, PlainValidator(_span({}))], ...] = ()
    location: Annotated[Any, PlainValidator(_zone)] = UTC

    def covers(self, moment: datetime) -> bool:
        """Whether a moment lies in it."""
        local = moment.astimezone(self.location)
        minute = local.hour * 60 + local.minute
        last = calendar.monthrange(local.year, local.month)[1]
        days = [tuple(day if day > 0 else last + 1 + day for day in span) for span in self.days_of_month]
        return (
            (not self.times or any(each.start_time <= minute < each.end_time for each in self.times))
            and _within(self.weekdays, (local.weekday() + 1) % 7)
            and _within(days, local.day)
            and _within(self.months, local.month)
            and _within(self.years, local.year)
        )


class TimeInterval(ForeignModel):
    """A name for parts of the calendar."""

    name: str
    time_intervals: tuple[When, ...] = ()


def _within(spans: Iterable[tuple[int, ...]], number: int) -> bool:
    spans = list(spans)
    return not spans or any(span[0] <= number <= span[-1] for span in spans)


def is_ever_heard(muted: Iterable[TimeInterval], active: Iterable[TimeInterval], now: datetime) -> bool:
    """Whether a route speaks at any half hour of the year that follows."""
    silent = [when for interval in muted for when in interval.time_intervals]
    spoken = [interval.time_intervals for interval in active]
    if not silent and not spoken:
        return True
    moments = takewhile(lambda moment: moment < now + _LOOK_AHEAD, (now + _STEP * index for index in count()))
    return any(
        not any(when.covers(moment) for when in silent)
        and (not spoken or any(when.covers(moment) for part in spoken for when in part))
        for moment in moments
    )
