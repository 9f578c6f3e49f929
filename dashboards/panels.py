"""Shared panel makers: one function a kind of panel, so that all panels of a kind look and behave alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import table as tables
from grafana_foundation_sdk.models.dashboard import FieldColorModeId as ColourMode
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards import fields
from dashboards.conventions import EVERY_LINE, MEANING, TYPES, Colour, datasource, log_lines
from dashboards.limits import Limit
from dashboards.queries import Query

HEADROOM: Mapping[str, float] = {
    "ops": 0.1, "reqps": 0.1, "opm": 1, "suffix:records/s": 0.1, "s": 0.001, "percentunit": 0.01, "none": 5,
    "short": 10, "bytes": 1e6, "Bps": 1e3, "pps": 10,
}  # fmt: skip
"""Up to where an axis goes at least; of nothing but zeros Grafana would make one up to 100."""


class Empty(StrEnum):
    """When a panel without data is as it should be."""

    NEVER = "never"
    WHEN_HEALTHY = "when_healthy"
    WHEN_UNUSED = "when_unused"
    """What it shows is optional, and this installation does without."""


_ABSENT = {Empty.NEVER: "unknown", Empty.WHEN_HEALTHY: "none", Empty.WHEN_UNUSED: "not in use"}


@dataclass(frozen=True)
class About:
    """What a panel says of itself."""

    title: str
    description: str
    no_data: str
    """Shown instead of data, or told beside it: why there is none."""
    may_be_empty: Empty = Empty.NEVER
    word: str = ""
    """What a single value says instead of a number, where the usual word would not be true."""
    key: str = ""
    """What its id is made of where another panel of the board has the same title."""

    @property
    def absent(self) -> str:
        """Return the word for a missing number: a whole sentence would be too small to read there."""
        return self.word or _ABSENT[self.may_be_empty]


@dataclass(frozen=True)
class Panel:
    """A panel without its place: the board gives it one."""

    about: About
    model: models.Panel
    width: int
    height: int

    def sized(self, width: int, height: int | None = None) -> "Panel":
        """Return the same panel in another size."""
        return replace(self, width=width, height=height or self.height)

    def leading_to(self, lines: str) -> "Panel":
        """Return the same panel, a click on whose values leads to log lines of its time."""
        link = dashboard.DashboardLink("Log lines of this time (profile telemetry)").url(log_lines(lines))
        self.model.field_config = self.model.field_config or models.FieldConfigSource()
        self.model.field_config.defaults.links = [link.build()]
        return self


class Builder(Protocol):
    """What the SDK's panel builders have in common."""

    def title(self, title: str, /) -> Self: ...
    def description(self, description: str, /) -> Self: ...
    def datasource(self, datasource: models.DataSourceRef, /) -> Self: ...
    def with_target(self, target: Any, /) -> Self: ...
    def unit(self, unit: str, /) -> Self: ...
    def no_value(self, no_value: str, /) -> Self: ...
    def override_by_name(self, name: str, properties: list[models.DynamicConfigValue], /) -> Self: ...


B = TypeVar("B", bound=Builder)


def number(
    about: About,
    query: Query,
    *,
    unit: str,
    limit: Limit | None = None,
    steps: Sequence[fields.Step] = (),
    base: str = Colour.GOOD,
    decimals: int | None = None,
) -> Panel:
    """One number now, coloured by an alert's limit or by steps, where there are any.

    Asked at the same moment as the table beside it, which it would contradict if it were the end of a course.
    """
    builder = _start_now(about, query, unit).mappings([_absence(about)])
    if decimals is not None:
        builder.decimals(decimals)
    steps, base = (limit.steps, limit.base) if limit else (steps, base)
    builder.thresholds(fields.thresholds(steps, base if steps else Colour.NEUTRAL))
    builder.color_scheme(fields.colour_by(ColourMode.THRESHOLDS))
    builder.color_mode(shapes.BigValueColorMode.BACKGROUND if steps else shapes.BigValueColorMode.VALUE)
    builder.text_mode(shapes.BigValueTextMode.VALUE)
    return Panel(about, builder.build(), width=8, height=3)


def state(about: About, query: Query, texts: Mapping[str, tuple[str, Colour]]) -> Panel:
    """One state now, as a word in its colour."""
    builder = _start_now(about, query, "none").mappings([*fields.value_texts(texts), _absence(about)])
    builder.thresholds(fields.thresholds((), Colour.UNKNOWN)).color_scheme(fields.colour_by(ColourMode.THRESHOLDS))
    builder.color_mode(shapes.BigValueColorMode.BACKGROUND)
    return Panel(about, builder.build(), width=8, height=3)


def bars(
    about: About,
    query: Query,
    *,
    unit: str,
    top: float | None = None,
    limit: Limit | None = None,
    steps: Sequence[fields.Step] = (),
    base: str = Colour.GOOD,
    decimals: int | None = None,
) -> Panel:
    """One bar a series, now; `top` is the full bar. Of more than six at this height texts become too small to read."""
    steps, base = (limit.steps, limit.base) if limit else (steps, base)
    builder = _start(bargauge.Panel(), about, [], unit).min(0).with_target(_target(query, 0).instant())
    if top is not None:
        builder.max(top)
    if decimals is not None:
        builder.decimals(decimals)
    builder.thresholds(fields.thresholds(steps, base if steps else Colour.NEUTRAL))
    builder.color_scheme(fields.colour_by(ColourMode.THRESHOLDS)).orientation(shapes.VizOrientation.HORIZONTAL)
    builder.display_mode(shapes.BarGaugeDisplayMode.BASIC).value_mode(shapes.BarGaugeValueMode.TEXT)
    builder.name_placement(shapes.BarGaugeNamePlacement.TOP)  # beside the bar a narrow panel cuts names
    builder.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    return Panel(about, builder.build(), width=8, height=9)


def lines(
    about: About,
    *queries: Query,
    unit: str,
    legends: Sequence[str] = (),
    colours: Mapping[str, str] = MappingProxyType({}),
    limit: Limit | None = None,
    top: float | None = None,
    are_bad: bool = False,
) -> Panel:
    """Series over time; `legends` wear the colour of their meaning, others `colours`; an alert's limit is dashed."""
    builder = _start(timeseries.Panel(), about, queries, unit).min(0).line_width(1).fill_opacity(8)
    builder.color_scheme(fields.series_colours(are_bad))
    if top is not None:
        builder.max(top)
    if limit:
        builder.thresholds(fields.thresholds([(limit.value, MEANING[limit.severity.value])], Colour.GOOD))
        builder.thresholds_style(common.GraphThresholdsStyleConfig().mode(shapes.GraphThresholdsStyleMode.DASHED))
    _finish_series(builder, unit, legends, colours)
    panel = Panel(about, builder.build(), width=12, height=9)
    return panel.leading_to(EVERY_LINE) if any(query.has_exemplars for query in queries) else panel


def stack(
    about: About,
    *queries: Query,
    unit: str,
    legends: Sequence[str] = (),
    colours: Mapping[str, str] = MappingProxyType({}),
    are_bad: bool = False,
    ends_in: str = "lastNotNull",
) -> Panel:
    """Parts of a whole over time, as stacked bars, coloured as lines are.

    Legends end in the last value, or in "max" where a series that ended would seem to go on.
    """
    builder = _start(timeseries.Panel(), about, queries, unit).min(0).line_width(0).fill_opacity(80).bar_width_factor(1)
    builder.draw_style(shapes.GraphDrawStyle.BARS).stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL))
    builder.color_scheme(fields.series_colours(are_bad))
    _finish_series(builder, unit, legends, colours, ends_in)
    return Panel(about, builder.build(), width=12, height=9)


def timeline(about: About, query: Query, texts: Mapping[str, tuple[str, Colour]]) -> Panel:
    """One lane a series, coloured by its state.

    Not by thresholds: where Grafana merges equal values, thresholds win over the colours of the states.
    """
    absent = fields.absent("unknown", Colour.UNKNOWN)
    builder = _start(statetimeline.Panel(), about, [query], "none").mappings([*fields.value_texts(texts), absent])
    builder.color_scheme(fields.colour_by(ColourMode.FIXED).fixed_color(Colour.UNKNOWN.value))
    builder.show_value(shapes.VisibilityMode.NEVER).merge_values(True).row_height(0.9).line_width(0)
    builder.legend(_legend()).tooltip(common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.SINGLE))
    return Panel(about, builder.build(), width=24, height=10)


def heat(about: About, query: Query, *, unit: str, counted: str) -> Panel:
    """A histogram over time: the more samples in a bucket, the stronger its cell; `counted` is their unit."""
    builder = heatmap.Panel().title(about.title).description(about.description).datasource(datasource())
    builder.no_value(about.no_data).with_target(_target(query, 0).format(PromQueryFormat.HEATMAP)).unit("short")
    builder.color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").steps(64))
    builder.y_axis(heatmap.YAxisConfig().unit(unit)).cell_gap(1)
    builder.cell_values(heatmap.CellValues().unit(counted))
    return Panel(about, builder.build(), width=12, height=9)


def rows(
    about: About,
    columns: Sequence[fields.Column],
    *queries: Query,
    hidden: Sequence[str] = (),
    sort_by: str = "",
    descending: bool = True,
) -> Panel:
    """A table of what is now; several queries are joined by their common labels, `hidden` fields are dropped."""
    builder = table.Panel().title(about.title).description(about.description).datasource(datasource())
    builder.no_value(about.no_data).unit("short").transformations(
        fields.arrange(columns, hidden, may_vanish=len(queries) > 1 and about.may_be_empty is not Empty.NEVER)
    )
    builder.show_header(True).align(shapes.FieldTextAlignment.AUTO).cell_height(shapes.TableCellHeight.SM)
    builder.min_width(90)
    if sort_by:
        builder.sort_by([common.TableSortByFieldState().display_name(sort_by).desc(descending)])
    for index, query in enumerate(queries):
        builder.with_target(_target(query, index).format(PromQueryFormat.TABLE).instant())
    for column in columns:
        builder.override_by_name(column.title, fields.column_properties(column))
    model = builder.build()
    if isinstance(model.options, tables.Options):
        model.options.footer = None  # which Grafana 12.3 and later do not have
    return Panel(about, model, width=24, height=7)


def _start(builder: B, about: About, queries: Sequence[Query], unit: str) -> B:
    builder.title(about.title).description(about.description).datasource(datasource()).unit(unit).no_value(
        about.no_data
    )
    for index, query in enumerate(queries):
        builder.with_target(_target(query, index))
    return builder


def _start_now(about: About, query: Query, unit: str) -> stat.Panel:
    """Return a single value of this moment; where there is none, NaN, which the panel shows as a word."""
    asked = replace(query, expr=f"max({query.expr}) or vector(NaN)")
    builder = _start(stat.Panel(), about, [], unit).with_target(_target(asked, 0).instant())
    builder.graph_mode(shapes.BigValueGraphMode.NONE).reduce_options(common.ReduceDataOptions().calcs(["last"]))
    # Beside a single value stands why it may be missing, because in its place there is room for a word only.
    told = f"{about.description} Shows “{about.absent}” without data: {about.no_data}"
    return builder.no_value(about.absent).description(told)


def _absence(about: About) -> models.SpecialValueMap:
    """Return what is shown where there is no value: never the colour of health."""
    colour = Colour.GOOD if about.may_be_empty is Empty.WHEN_HEALTHY else Colour.UNKNOWN
    return fields.absent(about.absent, colour)


def _target(query: Query, index: int) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(chr(ord("A") + index)).range()
    if query.has_exemplars:
        target.exemplar(True)
    return target.datasource(datasource())


def _finish_series(
    builder: timeseries.Panel,
    unit: str,
    legends: Sequence[str],
    colours: Mapping[str, str],
    ends_in: str = "lastNotNull",
) -> None:
    builder.show_points(shapes.VisibilityMode.NEVER).legend(_legend(ends_in))
    builder.axis_soft_max(HEADROOM.get(unit, 1))
    builder.tooltip(common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI).sort(shapes.SortOrder.DESCENDING))
    meant = {legend: colour for legend in legends if (colour := MEANING.get(legend) or TYPES.get(legend))}
    for legend, colour in {**meant, **colours}.items():
        # Also where a name precedes the word: "alert cut".
        builder.override_by_regexp(f"/(^| ){legend}$/", [fields.fixed(colour)])


def _legend(*calculations: str) -> common.VizLegendOptions:
    """Return a legend below the graph, whose entries go on in the next line: beside it, a narrow graph would vanish."""
    legend = common.VizLegendOptions().show_legend(True).placement(shapes.LegendPlacement.BOTTOM)
    return legend.display_mode(shapes.LegendDisplayMode.LIST).calcs(list(calculations))
