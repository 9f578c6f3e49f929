"""Each kind of condition writes the PromQL that it promises."""

from typing import Any

import pydantic
import pytest

from rules.comparison import format_number, parse_number
from rules.conditions import Condition


def expression(**condition: Any) -> str:
    return Condition.model_validate(condition).expression()


def test_threshold_compares_an_expression() -> None:
    assert expression(threshold={"of": "mcp_agent_up", "equal_to": 0}) == "mcp_agent_up == 0"


@pytest.mark.parametrize(
    ("word", "sign"),
    [("above", ">"), ("at_least", ">="), ("below", "<"), ("at_most", "<="), ("equal_to", "=="), ("other_than", "!=")],
)
def test_each_word_is_a_comparison(word: str, sign: str) -> None:
    assert expression(threshold={"of": "a", word: "5%"}) == f"a {sign} 0.05"


def test_count_sums_first_and_compares_whole_events() -> None:
    wanted = 'floor(sum by (role) (increase(a{result="deny"}[1m]))) > 10'
    assert expression(count={"of": 'a{result="deny"}', "over": "1m", "by": ["role"], "above": 10}) == wanted


def test_ratio_has_a_minimum_of_events() -> None:
    assert expression(
        ratio={"part": "bad", "whole": "all", "over": "2m", "by": ["t"], "minimum_events": 10, "above": "5%"}
    ) == ("sum by (t) (rate(bad[2m]))\n  / sum by (t) (rate(all[2m])) > 0.05\nand sum by (t) (increase(all[2m])) >= 10")


def test_ratio_below_counts_a_part_without_series_as_none() -> None:
    text = expression(ratio={"part": "good", "whole": "all", "over": "2m", "minimum_events": 1, "below": 0.9})
    assert text.startswith("(sum(rate(good[2m])) or 0 * sum(rate(all[2m])))")


def test_quantile_reads_buckets_and_counts_events() -> None:
    text = expression(
        quantile={
            "of": 'a_bucket{x="y"}',
            "quantile": 0.95,
            "over": "5m",
            "by": ["t"],
            "minimum_events": 20,
            "above": 2,
        }
    )
    assert text == (
        'histogram_quantile(0.95, sum by (le, t) (rate(a_bucket{x="y"}[5m]))) > 2\n'
        'and sum by (t) (increase(a_count{x="y"}[5m])) >= 20'
    )


def test_absent_asks_for_each_value() -> None:
    assert expression(absent={"of": "up", "each": {"job": ["a", "b"]}}) == 'absent(up{job="a"})\nor absent(up{job="b"})'
    assert expression(absent={"of": "up"}) == "absent(up)"


def test_overdue_does_not_speak_of_what_never_happened() -> None:
    assert expression(overdue={"since": "a_timestamp_seconds", "after": "1h"}) == (
        "time() - (a_timestamp_seconds != 0) > 3600"
    )


def test_drift_counts_the_different_values_in_a_group() -> None:
    assert expression(drift={"of": "mcp_agent_info", "differing": "server_version", "by": ["agent_type"]}) == (
        "count by (agent_type) (count by (agent_type, server_version) (mcp_agent_info)) > 1"
    )
    assert expression(drift={"of": "a", "differing": "v"}) == "count (count by (v) (a)) > 1"


def test_raw_promql_is_taken_as_it_stands() -> None:
    assert expression(raw="vector(1)\n") == "vector(1)"


@pytest.mark.parametrize("condition", [{}, {"raw": "a", "absent": {"of": "b"}}])
def test_a_policy_has_exactly_one_condition(condition: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError, match="a policy has one condition"):
        Condition.model_validate(condition)


@pytest.mark.parametrize(
    ("text", "number"), [("5%", 0.05), ("99.9%", 0.999), (10, 10.0), (0.25, 0.25), ("0.1 %", 0.001)]
)
def test_numbers_and_percentages_are_read(text: object, number: float) -> None:
    assert parse_number(text) == number


@pytest.mark.parametrize("text", ["five", "5 percent", "", True, None, "%"])
def test_what_is_no_number_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        parse_number(text)


def test_numbers_are_written_as_promql_reads_them() -> None:
    assert [format_number(number) for number in (5.0, 0.05, 1e-3, 14400.0, 0.999)] == [
        "5",
        "0.05",
        "0.001",
        "14400",
        "0.999",
    ]
