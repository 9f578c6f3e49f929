"""Panels stand in whole lines, without overlap or gap, and keep their ids."""

import pytest

from dashboards.board import Board, Row, panel_id, render
from dashboards.panels import About, Panel, number
from dashboards.queries import Query
from tests.dashboards.reading import NAMES, Json, board, panels

FOLD = 24
"""Grid lines that a screen of 1080 pixels shows."""


def small(title: str, width: int = 12, height: int = 4) -> Panel:
    about = About(title, f"{title}.", "None.")
    return number(about, Query("up"), unit="none").sized(width, height)


def rendered(*made: Panel) -> str:
    return render(Board("test", "Test", "A test.", [], [Row(made)]))


def cells(panel: Json) -> set[tuple[int, int]]:
    place = panel["gridPos"]
    across = range(place["x"], place["x"] + place["w"])
    return {(x, y) for x in across for y in range(place["y"], place["y"] + place["h"])}


@pytest.mark.parametrize("name", NAMES)
def test_panels_tile_the_grid(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board(name)["panels"]:
        assert not taken & cells(panel), panel["title"]
        taken |= cells(panel)

    height = max(y for _, y in taken) + 1
    assert taken == {(x, y) for x in range(24) for y in range(height)}


@pytest.mark.parametrize("name", NAMES)
def test_eight_or_fewer_queries_above_the_first_heading(name: str) -> None:
    everything = board(name)["panels"]
    first_row = next(index for index, panel in enumerate(everything) if panel["type"] == "row")

    assert sum(len(panel["targets"]) for panel in everything[:first_row]) <= 8


def test_the_overview_answers_above_the_fold() -> None:
    above = [panel["title"] for panel in panels("overview") if panel["gridPos"]["y"] + panel["gridPos"]["h"] <= FOLD]

    for title in ("Health, 0 to 100", "What fires, since when, and who is told", "Agents not healthy"):
        assert title in above


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_unique_and_fit_a_url(name: str) -> None:
    ids = [panel["id"] for panel in board(name)["panels"]]

    assert len(set(ids)) == len(ids)
    assert all(0 < each <= 1_000_000 for each in ids)


def test_an_id_stays_when_panels_are_added() -> None:
    before = rendered(small("One"), small("Two"))
    after = rendered(small("New", 24), small("One"), small("Two"))

    wanted = f'"id": {panel_id("test", "One")},'
    assert wanted in before
    assert wanted in after


def test_a_line_that_is_not_whole_is_refused() -> None:
    with pytest.raises(ValueError, match="One: 12 wide"):
        rendered(small("One"))


def test_a_line_of_different_heights_is_refused() -> None:
    with pytest.raises(ValueError, match=r"heights \[4, 5\]"):
        rendered(small("One"), small("Two", height=5))


def test_two_panels_of_one_title_are_refused() -> None:
    with pytest.raises(ValueError, match="change its title"):
        rendered(small("One"), small("One"))
