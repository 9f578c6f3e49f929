"""What is left of a broken configuration, so that checks across fields can still say what else is wrong."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pydantic

from contract.yaml_source import Location, Source

ROUNDS = 20
"""How often something may be left out before the rest is given up."""

M = TypeVar("M", bound=pydantic.BaseModel)


@dataclass(frozen=True)
class Rest(Generic[M]):
    """A configuration made of the parts that are good."""

    config: M
    original: Callable[[Location], Location]
    """Turns a location in the rest into the one in the text."""
    left_out: frozenset[str]
    """Names of what was left out: a check that misses one of them says nothing new."""

    def tells_of(self, message: str) -> bool:
        """Whether a finding speaks of the rest alone, not of something that was left out."""
        return not self.left_out & set(re.findall(r"[\w.:/-]*\w", message))


def salvage(source: Source, model: type[M], context: Mapping[str, Any]) -> Rest[M] | None:
    """Leave out what does not validate until the rest does; None when nothing useful is left."""
    dropped: set[Location] = set()
    for _ in range(ROUNDS):
        good = _Good(source.value, dropped)
        try:
            config = model.model_validate(good.value, context=dict(context))
        except pydantic.ValidationError as error:
            locations = (good.original(tuple(detail["loc"])) for detail in error.errors(include_url=False))
            dropped |= {_culprit(source.place(location)[1], dropped) for location in locations}
            if () in dropped:
                return None
        else:
            return Rest(config, good.original, frozenset(_names(source.value, dropped)))
    return None


def _culprit(location: Location, dropped: set[Location]) -> Location:
    """Return what to leave out next: a part that is missed because it was left out takes its whole with it."""
    while location in dropped:
        location = location[:-1]
    return location


def _names(value: Any, dropped: set[Location]) -> Iterator[str]:
    """Yield what dropped parts are called: by their key, or by the name that they carry."""
    for location in dropped:
        part = value
        for step in location:
            part = part[step]
        yield str(part["name"]) if isinstance(part, dict) and "name" in part else str(location[-1])


class _Good:
    """A value without the dropped parts; remembers where the elements of shortened lists stood."""

    def __init__(self, value: Any, dropped: set[Location]) -> None:
        self._dropped = dropped
        self._indices: dict[Location, list[int]] = {}
        self.value = self._copy(value, (), ())

    def original(self, location: Location) -> Location:
        """Return the location in the whole value of a location in the rest."""
        found: Location = ()
        for depth, step in enumerate(location):
            indices = self._indices.get(location[:depth])
            found = (*found, indices[step] if indices and isinstance(step, int) else step)
        return found

    def _copy(self, value: Any, was: Location, now: Location) -> Any:
        if isinstance(value, dict):
            kept = {key: part for key, part in value.items() if (*was, key) not in self._dropped}
            return {key: self._copy(part, (*was, key), (*now, key)) for key, part in kept.items()}
        if isinstance(value, list):
            indices = [index for index in range(len(value)) if (*was, index) not in self._dropped]
            self._indices[now] = indices
            return [self._copy(value[index], (*was, index), (*now, place)) for place, index in enumerate(indices)]
        return value
