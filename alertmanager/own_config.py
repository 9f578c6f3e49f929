"""Somebody's own alertmanager.yml, as far as it decides who is told: routes, inhibitions, receivers, intervals."""

from collections.abc import Iterator
from typing import Annotated, Any

import pydantic
from pydantic import Field, PlainValidator

from alertmanager import matchers
from alertmanager.hours import TimeInterval
from alertmanager.matchers import Matcher
from contract.config import ForeignModel

_Matchers = tuple[Annotated[tuple[Matcher, ...], PlainValidator(matchers.parse)], ...]


def _pattern(value: object) -> str:
    matchers.fits(str(value), "")
    return str(value)


_Patterns = dict[str, Annotated[str, PlainValidator(_pattern)]]


def _all(modern: _Matchers, exact: dict[str, str], patterns: dict[str, str]) -> tuple[Matcher, ...]:
    """Return matchers of both ways to write them: the older one has a mapping for each operator."""
    return (
        *(matcher for group in modern for matcher in group),
        *(Matcher(label, "=", value) for label, value in exact.items()),
        *(Matcher(label, "=~", value) for label, value in patterns.items()),
    )


class Route(ForeignModel):
    """A node of the tree of routes."""

    receiver: str = ""
    """Empty: that of the route above."""
    matchers: _Matchers = ()
    match: dict[str, str] = {}
    match_re: _Patterns = {}
    goes_on: bool = Field(False, alias="continue")
    routes: "tuple[Route, ...]" = ()
    mute_time_intervals: tuple[str, ...] = ()
    active_time_intervals: tuple[str, ...] = ()

    def wants(self) -> tuple[Matcher, ...]:
        """Return what alerts must satisfy."""
        return _all(self.matchers, self.match, self.match_re)


class Inhibition(ForeignModel):
    """While a source fires, targets are not told."""

    source_matchers: _Matchers = ()
    source_match: dict[str, str] = {}
    source_match_re: _Patterns = {}
    target_matchers: _Matchers = ()
    target_match: dict[str, str] = {}
    target_match_re: _Patterns = {}
    equal: tuple[str, ...] = ()

    def sources(self) -> tuple[Matcher, ...]:
        """Return what sources satisfy."""
        return _all(self.source_matchers, self.source_match, self.source_match_re)

    def targets(self) -> tuple[Matcher, ...]:
        """Return what targets satisfy."""
        return _all(self.target_matchers, self.target_match, self.target_match_re)


class Receiver(ForeignModel):
    """A name, and all that is told by it."""

    model_config = pydantic.ConfigDict(extra="allow")
    name: str

    @property
    def tells_somebody(self) -> bool:
        """Whether there is anything in it that carries messages."""
        return any(key.endswith("_configs") and bool(value) for key, value in (self.model_extra or {}).items())


class OwnConfig(ForeignModel):
    """The file."""

    route: Route
    receivers: tuple[Receiver, ...] = ()
    inhibit_rules: tuple[Inhibition, ...] = ()
    time_intervals: tuple[TimeInterval, ...] = ()
    mute_time_intervals: tuple[TimeInterval, ...] = ()

    @pydantic.model_validator(mode="after")
    def _has_a_root_for_all(self) -> Any:
        if not self.route.receiver or self.route.wants():
            raise ValueError("the root route takes every alert; give it a receiver and no matchers")
        return self

    def receiver(self, name: str) -> Receiver | None:
        """Return a receiver by its name."""
        return next((receiver for receiver in self.receivers if receiver.name == name), None)

    def intervals(self) -> dict[str, TimeInterval]:
        """Return the time intervals of both keys by name."""
        return {interval.name: interval for interval in (*self.mute_time_intervals, *self.time_intervals)}

    def walk(self) -> Iterator[tuple[Route, ...]]:
        """Yield every route with those above it, the root first."""
        yield from _walk((self.route,))


def _walk(path: tuple[Route, ...]) -> Iterator[tuple[Route, ...]]:
    yield path
    for child in path[-1].routes:
        yield from _walk((*path, child))
