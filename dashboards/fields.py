"""How values look: thresholds, colours by meaning, texts for values, table columns."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from dashboards.conventions import Colour

NOTHING = "-"
"""What an empty cell shows."""
SORTED = 104
"""Pixels of a column "Severity" by which a table is sorted: its heading wears an arrow."""
LAST = "lastNotNull"
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
    otherwise: str = ""
    """What is shown instead of all other values."""
    width: int = 0
    """Pixels; 0 shares what the others leave."""
    link: str = ""
    """Where a click on a value leads; Grafana fills in `${__value.raw}`."""
    wraps: bool = False
    """Whether a long text goes on in the next line; releases before 12 cut it."""
    is_hidden: bool = False
    """Whether only links read it."""


def thresholds(steps: Sequence[Step], base: str) -> builders.ThresholdsConfig:
    """Return absolute thresholds that start with the base colour."""
    all_steps = [models.Threshold(None, base), *(models.Threshold(value, colour) for value, colour in steps)]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(all_steps)


def colour_by(mode: models.FieldColorModeId) -> builders.FieldColor:
    """Return a colour scheme."""
    return builders.FieldColor().mode(mode)


def series_colours(are_bad: bool) -> builders.FieldColor:
    """Return how series whose names mean nothing are told apart: in shades of blue, of red where each is bad.

    Grafana's palette begins with green and yellow, as if the first were good and the second not.
    """
    shaded = Colour.BAD if are_bad else Colour.NEUTRAL
    return colour_by(models.FieldColorModeId.SHADES).fixed_color(shaded.value)


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
    properties = {
        # Else an empty cell would say why the whole table could be empty.
        "noValue": NOTHING,
        # A label is a text, also where it looks like a number: an agent called 1000 is not called "1 K".
        "unit": column.unit or ("" if column.field.startswith("Value") else "string"),
        "mappings": _mappings(column),
        "custom.width": column.width,
        # A time is a number to Grafana, which it would push to the right, into the next column's text.
        "custom.align": "left" if column.unit.startswith("dateTime") else "",
        "links": [{"title": f"Open {column.title.lower()}", "url": column.link}] if column.link else [],
        "custom.cellOptions": {"type": "color-background", "mode": "basic"} if column.colours else {},
        "custom.wrapText": column.wraps,
        "custom.hidden": column.is_hidden,  # as releases before 12.2 call it, and later ones:
        "custom.hideFrom.viz": column.is_hidden,
    }
    return [models.DynamicConfigValue(name, value) for name, value in properties.items() if value]


def _mappings(column: Column) -> list[models.ValueMap | models.RegexMap]:
    results = {
        value: models.ValueMappingResult(column.texts.get(value), colour and str(colour), None, index)
        for index, value in enumerate({**column.texts, **column.colours})
        for colour in [column.colours.get(value)]
    }
    mappings: list[models.ValueMap | models.RegexMap] = [models.ValueMap(results)] if results else []
    if column.otherwise:
        shown = models.ValueMappingResult(column.otherwise, None, None, len(results))
        mappings.append(models.RegexMap(models.DashboardRegexMapOptions(".*", shown)))
    return mappings


def arrange(
    columns: Sequence[Column], hidden: Iterable[str] = (), *, may_vanish: bool = False
) -> list[models.DataTransformerConfig]:
    """Return the transformations that join a table's queries and bring its columns into order.

    Of several queries without an answer Grafana makes columns without rows, whose headings stand where the reason of
    the emptiness should; a table that `may_vanish` is grouped by its labels, and of nothing to group nothing is left.
    """
    named = {column.field: _grouped(column.field) if may_vanish else column.field for column in columns}
    options = {
        "excludeByName": dict.fromkeys(("Time", *hidden), True),
        "indexByName": {named[column.field]: index for index, column in enumerate(columns)},
        "renameByName": {named[column.field]: column.title for column in columns},
    }
    return [
        models.DataTransformerConfig("merge", options={}),
        *([_group(columns)] if may_vanish else []),
        models.DataTransformerConfig("organize", options=options),
    ]


def _group(columns: Sequence[Column]) -> models.DataTransformerConfig:
    """Return the transformation that keeps one line of each set of labels, of which there is one only."""
    label = {"aggregations": [], "operation": "groupby"}
    value = {"aggregations": [LAST], "operation": "aggregate"}
    fields = {column.field: value if column.field.startswith("Value") else label for column in columns}
    return models.DataTransformerConfig("groupBy", options={"fields": fields})


def _grouped(field: str) -> str:
    return f"{field} ({LAST})" if field.startswith("Value") else field
