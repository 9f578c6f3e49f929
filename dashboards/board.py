"""Puts panels in their places and writes a dashboard as Grafana reads it; the same input gives the same bytes."""

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from dashboards import annotations, variables
from dashboards.conventions import GRID_WIDTH, TAG, UID_PREFIX
from dashboards.panels import Panel


@dataclass(frozen=True)
class Row:
    """Panels under a heading; the first row of a board needs none."""

    panels: Sequence[Panel]
    title: str = ""


@dataclass(frozen=True)
class Board:
    """One dashboard."""

    name: str
    """Last part of the uid, and the name of the generated file."""
    title: str
    description: str
    filters: Sequence[variables.Variable]
    rows: Sequence[Row]
    marked: str = ""
    """Matchers of the alerts whose starts are marked on the time axes from the beginning."""

    @property
    def uid(self) -> str:
        """Never changes, because links from alerts and bookmarks hold it."""
        return UID_PREFIX + self.name


def render(board: Board) -> str:
    """Return the dashboard's JSON.

    Raises ValueError when panels do not fill whole lines of the grid or share a title.
    """
    builder = builders.Dashboard(board.title).uid(board.uid).description(board.description).tags([TAG]).readonly()
    builder.time("now-30m", "now").refresh("30s").timezone("browser").tooltip(models.DashboardCursorSync.CROSSHAIR)
    builder.link(_siblings())
    for variable in (variables.data_source(), *board.filters):
        builder.with_variable(variable)
    model = builder.build()
    for built in (model.templating.list_val if model.templating else None) or ():
        built.auto = built.auto_min = built.auto_count = None  # of intervals, which none of these is
    model.panels = list(_placed(board))
    model.annotations = models.AnnotationContainer(annotations.of(board.marked))
    return json.dumps(model, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def panel_id(board: str, title: str) -> int:
    """Return an id that stays when panels are added or moved, because bookmarks and policies may name it."""
    return zlib.crc32(f"{board}/{title}".encode()) % 1_000_000 + 1


def _siblings() -> builders.DashboardLink:
    link = builders.DashboardLink("Dashboards").type(models.DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.as_dropdown(True).include_vars(True).keep_time(True)


def _placed(board: Board) -> Iterator[models.Panel | models.RowPanel]:
    top = 0
    taken: set[int] = set()
    for row in board.rows:
        if row.title:
            yield models.RowPanel(
                title=row.title,
                id_val=_claim(board.name, f"row {row.title}", taken),
                grid_pos=models.GridPos(1, GRID_WIDTH, 0, top),
            )
            top += 1
        for line in _lines(board.name, row.panels):
            left = 0
            for panel in line:
                panel.model.id_val = _claim(board.name, panel.about.key or panel.about.title, taken)
                panel.model.grid_pos = models.GridPos(panel.height, panel.width, left, top)
                left += panel.width
                yield panel.model
            top += line[0].height


def _claim(board: str, title: str, taken: set[int]) -> int:
    number = panel_id(board, title)
    if number in taken:
        raise ValueError(f"dashboard {board}: {title!r} has the id of another panel; change its title")
    taken.add(number)
    return number


def _lines(board: str, panels: Sequence[Panel]) -> Iterator[list[Panel]]:
    line: list[Panel] = []
    for panel in panels:
        line.append(panel)
        if sum(each.width for each in line) >= GRID_WIDTH:
            yield _whole(board, line)
            line = []
    if line:
        yield _whole(board, line)


def _whole(board: str, line: list[Panel]) -> list[Panel]:
    widths, heights = sum(panel.width for panel in line), {panel.height for panel in line}
    if widths != GRID_WIDTH or len(heights) != 1:
        titles = ", ".join(panel.about.title for panel in line)
        raise ValueError(
            f"dashboard {board}: {titles}: {widths} wide, heights {sorted(heights)}; want {GRID_WIDTH} and one height"
        )
    return line
