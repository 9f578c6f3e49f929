"""What is left of a broken configuration, so that checks across fields can still say what else is wrong."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pydantic

from contract.yaml_source import Location, Source

ROUNDS = 20
"""How often something may be left out before the rest is given up."""

M = TypeVar("M", bound=pydantic.BaseModel)


def salvage(
    source: Source, model: type[M], context: Mapping[str, Any]
) -> tuple[M, Callable[[Location], Location]] | None:
    """Leave out what does not validate until the rest does.

    Returns the rest and what turns a location in it into the one in the text, or None when nothing useful is left.
    """
    dropped: set[Location] = set()
    for _ in range(ROUNDS):
        rest = _Rest(source.value, dropped)
        try:
            return model.model_validate(rest.value, context=dict(context)), rest.original
        except pydantic.ValidationError as error:
            locations = (rest.original(tuple(detail["loc"])) for detail in error.errors(include_url=False))
            found = {source.place(location)[1] for location in locations}
        if () in found or found <= dropped:
            return None
        dropped |= found
    return None


class _Rest:
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
