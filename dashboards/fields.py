"""How values look: thresholds, colours by meaning, texts for values, table columns."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from dashboards.conventions import Colour

NOTHING = "-"
"""What an empty cell shows."""
Step = tuple[float, str]
"""From this value on, this colour."""


@dataclass(frozen=True)
class Column:
    """One column of a table: the label (or `Value`, `Value #A`) it shows and how."""

    field: str
    title: str
    unit: str = ""
    colours: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Colours of texts; coloured cells only for these."""
    texts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What is shown instead of a value."""
    width: int = 0
    """Pixels; 0 shares what the others leave."""
    link: str = ""
    """Where a click on a value leads; Grafana fills in `${__value.raw}`."""


def thresholds(steps: Sequence[Step], base: str) -> builders.ThresholdsConfig:
    """Return absolute thresholds that start with the base colour."""
    all_steps = [models.Threshold(None, base), *(models.Threshold(value, colour) for value, colour in steps)]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(all_steps)


def colour_by(mode: models.FieldColorModeId) -> builders.FieldColor:
    """Return a colour scheme."""
    return builders.FieldColor().mode(mode)


def series_colours(are_bad: bool) -> builders.FieldColor:
    """Return how series whose names mean nothing are told apart; where each is something bad, in shades of red."""
    if are_bad:
        return colour_by(models.FieldColorModeId.SHADES).fixed_color(Colour.BAD.value)
    return colour_by(models.FieldColorModeId.PALETTE_CLASSIC)


def fixed(colour: str) -> models.DynamicConfigValue:
    """Return the property that paints a series in one colour."""
    return models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": str(colour)})


def value_texts(texts: Mapping[str, tuple[str, Colour]]) -> list[models.ValueMapping]:
    """Return the mapping that shows a text in a colour instead of a value."""
    options = {
        value: models.ValueMappingResult(text, colour.value, None, index)
        for index, (value, (text, colour)) in enumerate(texts.items())
    }
    return [models.ValueMap(options)]


def absent(word: str, colour: Colour) -> models.SpecialValueMap:
    """Return the mapping that shows a word where there is no value."""
    shown = models.ValueMappingResult(word, colour.value, None, None)
    options = models.DashboardSpecialValueMapOptions(models.SpecialValueMatch.NULL_AND_NAN, shown)
    return models.SpecialValueMap(options)


def column_properties(column: Column) -> list[models.DynamicConfigValue]:
    """Return how the cells of a column look."""
    # Else an empty cell would say why the whole table could be empty.
    properties = [models.DynamicConfigValue("noValue", NOTHING)]
    if column.unit:
        properties.append(models.DynamicConfigValue("unit", column.unit))
    results = {
        value: models.ValueMappingResult(column.texts.get(value), colour and str(colour), None, index)
        for index, value in enumerate({**column.texts, **column.colours})
        for colour in [column.colours.get(value)]
    }
    if results:
        properties.append(models.DynamicConfigValue("mappings", [models.ValueMap(results)]))
    if column.width:
        properties.append(models.DynamicConfigValue("custom.width", column.width))
    if column.unit.startswith("dateTime"):
        # A number to Grafana, which it would push to the right, into the next column's text.
        properties.append(models.DynamicConfigValue("custom.align", "left"))
    if column.link:
        links = [{"title": f"Open {column.title.lower()}", "url": column.link}]
        properties.append(models.DynamicConfigValue("links", links))
    if column.colours:
        cell = {"type": "color-background", "mode": "basic"}
        properties.append(models.DynamicConfigValue("custom.cellOptions", cell))
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
