"""Durations as Prometheus writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.fields import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("15s", 15), ("2m", 120), ("1h30m", 5400), ("1.5m", 90), ("7d", 604800), ("0s", 0)],
)
def test_a_duration_is_read_as_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["5", 5, "", "5 s", "s", "-5s", "1m30", "five", None, True])
def test_anything_else_is_refused_with_the_form_to_use(text: object) -> None:
    with pytest.raises(ValueError, match="write a number and a unit"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["99999999999999999999999999999999w", "9" * 400 + "s", "11000d"])
def test_a_duration_beyond_ten_years_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="ten years"):
        parse_duration(text)


@given(st.integers(min_value=1, max_value=10**10))
def test_what_is_written_is_read_back(milliseconds: int) -> None:
    assert round(parse_duration(format_duration(milliseconds / 1000)) * 1000) == milliseconds
