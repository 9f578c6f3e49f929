"""The numbers on the boards: what each panel makes of series with a known answer, by Prometheus' own engine."""

import math
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.dashboards.reading import NAMES, Json, filled, panels
from tests.tools import tool

VALUES: dict[str, dict[str, list[Json]]] = yaml.safe_load(
    Path(__file__).with_name("values.yaml").read_text(encoding="utf-8")
)
DURATIONS = {"__rate_interval": "1m", "__range": "5m", "__interval": "15s"}
SAMPLES = 40
PRECISION = 0.001
NUMBERS = {"stat", "bargauge"}


class Case(NamedTuple):
    """A query of a panel, what was scraped, and what is shown of it."""

    where: str
    panel: Json
    query: str
    series: dict[str, int | float | str]
    shows: dict[str, list[Any]]
    """By labels: the value, and what it looks like where that matters."""

    def unit_test(self) -> Json:
        """Return what promtool runs."""
        [target] = [each for each in self.panel["targets"] if each["refId"] == self.query]
        series = [{"series": name, "values": _notation(values)} for name, values in self.series.items()]
        expr = filled(target["expr"], DURATIONS)
        if any(math.isnan(value) for value, *_ in self.shows.values()):  # promtool finds no NaN equal to another
            expr, samples = f"({expr}) != bool ({expr})", [{"labels": "{}", "value": 1}]
        else:
            expr, samples = (
                f"round({expr}, {PRECISION})",
                [{"labels": labels, "value": value} for labels, (value, *_) in self.shows.items()],
            )
        asked = {"expr": expr, "eval_time": "10m", "exp_samples": samples}
        return {"name": self.where, "interval": "15s", "input_series": series, "promql_expr_test": [asked]}


def _notation(values: int | float | str) -> str:
    return values if isinstance(values, str) else f"{values}x{SAMPLES}"


def titled(board: str) -> dict[str, Json]:
    """Return the panels of a board by title; a second one with the same title gets a number."""
    seen: Counter[str] = Counter()
    found = {}
    for panel in panels(board):
        title = panel["title"]
        seen[title] += 1
        found[title if seen[title] == 1 else f"{title} ({seen[title]})"] = panel
    return found


def cases() -> Iterator[Case]:
    for board, listed in VALUES.items():
        there = titled(board)
        for title, examples in listed.items():
            for number, example in enumerate(examples, 1):
                shows = example["shows"]
                by_labels = shows if isinstance(shows, dict) else {"{}": shows}
                where, query = f"{board}: {title}: {number}", example.get("query", "A")
                yield Case(where, there[title], query, example["series"], by_labels)


CASES = list(cases())


def look(panel: Json, value: float) -> str:
    """Return the text and the colour that Grafana gives to a value."""
    defaults = panel["fieldConfig"]["defaults"]
    for mapping in defaults.get("mappings", []):
        options = mapping["options"]
        result = options.get("result") if mapping["type"] == "special" else None
        if math.isnan(value) and result:
            return f"{result['text']}, {result['color']}"
        if not math.isnan(value) and mapping["type"] == "value" and f"{value:g}" in options:
            return f"{options[f'{value:g}']['text']}, {options[f'{value:g}']['color']}"
    first, *steps = defaults["thresholds"]["steps"]
    return str(([first] + [step for step in steps if value >= step["value"]])[-1]["color"])


def test_every_panel_answers_with_the_number_it_promises(tmp_path: Path) -> None:
    file = tmp_path / "values.test.yaml"
    tests = [case.unit_test() for case in CASES]
    file.write_text(yaml.safe_dump({"evaluation_interval": "15s", "tests": tests}))
    done = subprocess.run([tool("promtool"), "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES, ids=[case.where for case in CASES])
def test_a_number_looks_as_bad_as_it_is(case: Case) -> None:
    for value, *wanted in case.shows.values():
        assert wanted == ([] if case.panel["type"] == "timeseries" else [look(case.panel, value)])


@pytest.mark.parametrize("board", NAMES)
def test_every_single_number_of_a_board_has_an_example(board: str) -> None:
    numbers = {title for title, panel in titled(board).items() if panel["type"] in NUMBERS}
    assert numbers <= VALUES[board].keys()
