"""How values look: thresholds, colours by meaning, texts for values, table columns."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from dashboards.conventions import Colour

Step = tuple[float, Colour]
"""From this value on, this colour."""


@dataclass(frozen=True)
class Column:
    """One column of a table: the label (or `Value`, `Value #A`) it shows and how."""

    field: str
    title: str
    unit: str = ""
    colours: Mapping[str, Colour] = dataclasses.field(default_factory=dict)
    """Colours of texts; coloured cells only for these."""
    texts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What is shown instead of a value."""
    link: str = ""
    """Where a click on a value leads; Grafana fills in `${__value.raw}`."""


def thresholds(steps: Sequence[Step], base: Colour) -> builders.ThresholdsConfig:
    """Return absolute thresholds that start with the base colour."""
    all_steps = [models.Threshold(None, base), *(models.Threshold(value, colour) for value, colour in steps)]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(all_steps)


def colour_by(mode: models.FieldColorModeId) -> builders.FieldColor:
    """Return a colour scheme."""
    return builders.FieldColor().mode(mode)


def fixed(colour: Colour) -> models.DynamicConfigValue:
    """Return the property that paints a series in one colour."""
    return models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour.value})


def value_texts(texts: Mapping[str, tuple[str, Colour]]) -> list[models.ValueMapping]:
    """Return the mapping that shows a text in a colour instead of a value."""
    options = {
        value: models.ValueMappingResult(text, colour.value, None, index)
        for index, (value, (text, colour)) in enumerate(texts.items())
    }
    return [models.ValueMap(options)]


def column_properties(column: Column) -> list[models.DynamicConfigValue]:
    """Return how the cells of a column look."""
    properties = [models.DynamicConfigValue("unit", column.unit)] if column.unit else []
    results = {
        value: models.ValueMappingResult(column.texts.get(value), colour and colour.value, None, index)
        for index, value in enumerate({**column.texts, **column.colours})
        for colour in [column.colours.get(value)]
    }
    if results:
        properties.append(models.DynamicConfigValue("mappings", [models.ValueMap(results)]))
    if column.link:
        links = [{"title": f"Open {column.title.lower()}", "url": column.link}]
        properties.append(models.DynamicConfigValue("links", links))
    if column.colours:
        properties.append(models.DynamicConfigValue("custom.cellOptions", {"type": "color-text"}))
    return properties


def arrange(columns: Sequence[Column], hidden: Iterable[str] = ()) -> list[models.DataTransformerConfig]:
    """Return the transformations that join a table's queries and bring its columns into order."""
    options = {
        "excludeByName": dict.fromkeys(("Time", *hidden), True),
        "indexByName": {column.field: index for index, column in enumerate(columns)},
        "renameByName": {column.field: column.title for column in columns},
    }
    return [
        models.DataTransformerConfig("merge", options={}),
        models.DataTransformerConfig("organize", options=options),
    ]
