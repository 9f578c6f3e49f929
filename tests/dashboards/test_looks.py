"""What a real Grafana has shown to be ugly or wrong, each held so that it does not come back."""

import re
from urllib.parse import urlsplit

import pytest
import yaml

from contract.vocabulary import AuditEvent, AuthReason, ProbeOutcome, Severity
from dashboards import alerts
from dashboards.conventions import MEANING, TYPES
from dashboards.panels import HEADROOM
from tests.dashboards.reading import GENERATED, NAMES, Json, board, panels, targets

RULES = GENERATED.parents[1] / "rules" / "generated"
NARROW = 800
"""Pixels of a narrow screen; a little below this Grafana shows one panel below the other."""
LETTERS = {**dict.fromkeys("ijlrtf .,:'", 4.5), **dict.fromkeys("mwMW", 12.0)}
"""Pixels of letters in titles and headings, as measured; others are 8.2 wide, capitals 9.5."""
EVERY = [(name, panel) for name in NAMES for panel in panels(name)]


def colours_of(panel: Json) -> Json:
    found: Json = panel["fieldConfig"]["defaults"]["color"]
    return found


def of_type(kind: str) -> list[Json]:
    return [panel for _, panel in EVERY if panel["type"] == kind]


def pixels(text: str) -> float:
    return sum(LETTERS.get(letter, 9.5 if letter.isupper() else 8.2) for letter in text)


def columns_of(panel: Json) -> dict[str, Json]:
    """Return the properties of a table's columns by their headings."""
    return {
        override["matcher"]["options"]: {each["id"]: each["value"] for each in override["properties"]}
        for override in panel["fieldConfig"]["overrides"]
    }


@pytest.mark.parametrize("name", NAMES)
def test_titles_are_seen_whole_on_a_narrow_screen(name: str) -> None:
    """Beside the title stands the sign of the description, which takes its room first."""
    edge, gap, sign = 16, 8, 76
    column = (NARROW - 2 * edge - 23 * gap) / 24
    room = {each["title"]: each["gridPos"]["w"] * (column + gap) - gap - sign for each in panels(name)}

    assert [title for title, there in room.items() if pixels(title) > there] == []


def test_headings_are_seen_whole_beside_the_arrow_of_the_column_that_sorts() -> None:
    padding, arrow = 12, 22
    for panel in of_type("table"):
        sorts = {each["displayName"] for each in panel["options"].get("sortBy", [])}
        for heading, column in columns_of(panel).items():
            wanted = pixels(heading) + padding + arrow * (heading in sorts)
            assert column.get("custom.width", wanted) >= wanted, (panel["title"], heading)


def test_a_label_is_a_text_also_where_it_looks_like_a_number() -> None:
    for panel in of_type("table"):
        names = panel["transformations"][-1]["options"]["renameByName"].items()
        labels = [title for field, title in names if not field.startswith("Value")]
        assert {columns_of(panel)[title]["unit"] for title in labels} == {"string"}, panel["title"]


def test_times_are_seen_whole() -> None:
    longest = {"s": "13.5 mins", "dateTimeFromNow": "a few seconds ago"}
    for column in (column for panel in of_type("table") for column in columns_of(panel).values()):
        if text := longest.get(column.get("unit", "")):
            assert column.get("custom.width", 999) >= pixels(text) + 12


def test_a_column_takes_the_room_that_the_others_leave() -> None:
    for panel in of_type("table"):
        shown = [each for each in columns_of(panel).values() if "custom.hidden" not in each]
        assert any("custom.width" not in each for each in shown), panel["title"]


def test_names_stand_above_their_bars_because_beside_them_a_narrow_panel_cuts_them() -> None:
    assert {panel["options"]["namePlacement"] for panel in of_type("bargauge")} == {"top"}


def test_bars_are_few_enough_to_have_readable_names_and_values() -> None:
    line, edge, bar = 38, 50, 48
    for panel in of_type("bargauge"):
        if most := re.match(r"topk\((\d+),", panel["targets"][0]["expr"]):
            assert int(most[1]) * bar <= panel["gridPos"]["h"] * line - edge, panel["title"]


def test_the_cells_of_a_spread_say_what_they_count() -> None:
    assert {panel["options"]["cellValues"]["unit"] for panel in of_type("heatmap")} <= {"ops", "opm", "reqps"}


def test_an_alert_leads_to_the_dashboard_that_its_message_leads_to() -> None:
    urls = {
        rule["alert"]: urlsplit(rule["annotations"]["dashboard_url"]).path.rpartition("/")[2]
        for file in RULES.glob("*.yaml")
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    for panel in (panel for panel in of_type("table") if panel["title"].startswith("What fires")):
        columns = columns_of(panel)
        assert columns["Alert"]["links"][0]["url"].startswith("/d/${__data.fields.Board}?${__url_time_range}&")
        named, other = columns["Board"]["mappings"]
        assert {alert: each["text"] for alert, each in named["options"].items()} == urls
        assert other["type"] == "regex"
        assert (other["options"]["pattern"], other["options"]["result"]["text"]) == (".*", "mcp-lookout-overview")


def test_an_alert_leads_to_its_subject_and_where_it_names_none_to_all() -> None:
    for panel in (panel for panel in of_type("table") if panel["title"].startswith("What fires")):
        columns = columns_of(panel)
        url = columns["Alert"]["links"][0]["url"]
        chosen = dict(re.findall(r"&var-(\w+)=\${__data\.fields\.(\w+):percentencode}", url))
        assert set(chosen) == {"agent_type", "agent", "workflow", "instance"}
        for column in (columns[heading] for heading in chosen.values()):
            assert column["custom.hideFrom.viz"]
            [absent] = column["mappings"]
            assert {value: each["text"] for value, each in absent["options"].items()} == {alerts.EVERY: "$__all"}


def test_a_number_that_is_missing_is_a_short_word_and_never_wears_the_colour_of_health() -> None:
    for panel in of_type("stat"):
        defaults = panel["fieldConfig"]["defaults"]
        [absent] = [each["options"] for each in defaults["mappings"] if each["type"] == "special"]
        assert absent["match"] == "null+nan"
        assert absent["result"]["text"] == defaults["noValue"]
        assert len(defaults["noValue"]) <= 10
        assert (absent["result"]["color"] == "green") == (defaults["noValue"] == "none"), panel["title"]


def test_an_empty_cell_does_not_say_why_the_whole_table_could_be_empty() -> None:
    for panel in of_type("table"):
        titles = panel["transformations"][-1]["options"]["renameByName"].values()
        told = {
            override["matcher"]["options"]: each["value"]
            for override in panel["fieldConfig"]["overrides"]
            for each in override["properties"]
            if each["id"] == "noValue"
        }
        assert told == dict.fromkeys(titles, "-"), panel["title"]


def test_times_stand_on_the_left_apart_from_the_next_column() -> None:
    times = [
        {each["id"]: each["value"] for each in override["properties"]}
        for panel in of_type("table")
        for override in panel["fieldConfig"]["overrides"]
        if any(str(each["value"]).startswith("dateTime") for each in override["properties"])
    ]

    assert times
    assert all(each["custom.align"] == "left" for each in times)


def test_lanes_of_states_wear_the_colours_of_the_states() -> None:
    """Thresholds would win over them, and noValue would stand in the legend."""
    for panel in of_type("state-timeline"):
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["color"]["mode"] == "fixed", panel["title"]
        assert {each["type"] for each in defaults["mappings"]} == {"value", "special"}


@pytest.mark.parametrize("name", NAMES)
def test_marks_are_lines_because_the_shade_of_a_long_alert_would_lie_on_every_graph(name: str) -> None:
    for annotation in board(name)["annotations"]["list"]:
        assert " unless (" in annotation["expr"], annotation["name"]
        assert annotation["step"] == "15s", annotation["name"]


@pytest.mark.parametrize("name", NAMES)
def test_only_starts_of_alerts_that_a_dashboard_is_about_are_marked_unasked(name: str) -> None:
    """After some events lines would bury the data; SecOps tells of all alerts, in tables."""
    marks = {each["name"]: each for each in board(name)["annotations"]["list"]}

    wanted = {"Demo"} if name == "secops" else {"Demo", "Fired"}
    assert {mark for mark, each in marks.items() if each["enable"]} == wanted
    narrowed = {"overview": 'severity="critical"', "secops": "Watchdog", "slos": "alertname=~"}
    assert narrowed.get(name, 'component="') in marks["Fired"]["expr"]


def test_series_are_told_apart() -> None:
    """The palette by name paints all series of Prometheus alike: Grafana hashes a name that is always "Value"."""
    for panel in of_type("timeseries"):
        assert colours_of(panel)["mode"] == "shades"


def test_names_wear_no_colour_that_judges() -> None:
    """A classic palette paints the first series green and the second yellow, whatever they are."""
    for panel in of_type("timeseries"):
        assert colours_of(panel)["fixedColor"] in ("blue", "red"), panel["title"]
    for title in ("Workflow success", "Processor use", "Pressure", "Requests by method", "Allowed requests by role"):
        assert {colours_of(panel)["fixedColor"] for _, panel in EVERY if panel["title"] == title} == {"blue"}, title


def test_agent_types_wear_colours_that_mean_neither_good_nor_bad() -> None:
    judging = {*ProbeOutcome, *AuthReason, *AuditEvent, *Severity} - {AuditEvent.ADMIN, Severity.INFO}
    assert set(TYPES.values()).isdisjoint({MEANING[word] for word in judging})
    for title in ("Requests by agent type", "Error rate by agent type"):
        found = next(panel for name, panel in EVERY if panel["title"] == title)
        painted = {each["matcher"]["options"] for each in found["fieldConfig"]["overrides"]}
        assert {f"/(^| ){name}$/" for name in TYPES} <= painted, title


def test_the_line_of_a_limit_wears_the_colour_of_its_severity() -> None:
    limits = [
        panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1]["color"]
        for panel in of_type("timeseries")
        if "thresholds" in panel["fieldConfig"]["defaults"]
    ]

    assert limits
    assert set(limits) <= {"yellow", "orange", "dark-red"}


def test_legends_leave_a_narrow_graph_its_width_and_flow_into_the_next_line() -> None:
    for panel in of_type("timeseries"):
        legend = panel["options"]["legend"]
        assert (legend["placement"], legend["displayMode"]) == ("bottom", "list"), panel["title"]


def test_an_axis_of_nothing_but_zeros_goes_not_up_to_100() -> None:
    for panel in of_type("timeseries"):
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"] in {*HEADROOM, "suffix:samples/s"}, panel["title"]
        assert "axisSoftMax" in defaults["custom"], panel["title"]


def test_a_number_has_the_time_that_it_is_about_in_its_title_and_one_of_two_judges() -> None:
    for panel in (panel for panel in panels("slos") if panel["type"] == "stat"):
        judges = len(panel["fieldConfig"]["defaults"]["thresholds"]["steps"]) > 1
        assert (panel["title"], judges) in (("Good, in range", False), ("Budget, 30d", True))


def test_what_is_over_is_not_told_as_if_it_went_on() -> None:
    """A series that is filtered away ends, and its legend in a value of then."""
    for target in (target for name in NAMES for target in targets(name) if target.panel["type"] == "timeseries"):
        if target.target["expr"].endswith("> 0"):
            assert target.panel["options"]["legend"]["calcs"] == ["max"], target.where


def test_percentiles_of_nothing_are_nothing() -> None:
    for target in (target for name in NAMES for target in targets(name)):
        if "histogram_quantile" in target.target["expr"] and target.panel["type"] == "timeseries":
            assert target.target["expr"].endswith(">= 0"), target.where


def test_critical_alerts_stand_first() -> None:
    [found] = [panel for name, panel in EVERY if name == "overview" and panel["title"].startswith("What fires")]

    assert found["options"]["sortBy"] == [{"displayName": "Severity", "desc": False}]
    assert sorted(["minor", "critical", "major"])[0] == "critical"


def test_a_number_is_of_this_moment_as_the_table_beside_it() -> None:
    """The last point of a course is up to a step old, and an ended series would show its last value for ever."""
    for panel in of_type("stat"):
        [target] = panel["targets"]
        assert (target["instant"], target["range"]) == (True, False), panel["title"]
        assert target["expr"].endswith(" or vector(NaN)"), panel["title"]
        assert panel["options"]["graphMode"] == "none", panel["title"]


def test_pictures_of_the_guide_are_there_and_small() -> None:
    docs = GENERATED.parents[1] / "docs"
    shown = re.findall(r"\]\((pictures/[\w-]+\.png)\)", (docs / "dashboards.md").read_text(encoding="utf-8"))

    assert len(shown) >= 4
    for name in shown:
        assert (docs / name).stat().st_size < 250_000, name


def test_a_table_that_may_be_empty_says_why_also_where_it_asks_several_queries() -> None:
    """Of several queries without an answer Grafana makes columns without rows; grouped by labels there is nothing."""
    several = [panel for panel in of_type("table") if len(panel["targets"]) > 1]
    grouped = {
        panel["title"]: each for panel in several for each in panel["transformations"] if each["id"] == "groupBy"
    }

    assert set(grouped) == {"What fired in this time", "Incidents by severity"}
    for panel in (panel for panel in several if panel["title"] in grouped):
        fields = grouped[panel["title"]]["options"]["fields"]
        by = {name for name, how in fields.items() if how["operation"] == "groupby"}
        assert by == {name for name in fields if not name.startswith("Value")}
        shown = {
            name.removesuffix(" (lastNotNull)") for name in panel["transformations"][-1]["options"]["renameByName"]
        }
        assert shown == set(fields)
