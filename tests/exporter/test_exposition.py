"""The text format: whatever a value is, the scrape stays readable."""

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.exposition import number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (3, "3"),
        (-2.5, "-2.5"),
        (1e15, "1000000000000000.0"),
        (1e308, "1e+308"),
        (math.nan, "NaN"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
    ],
)
def test_every_value_is_written_as_prometheus_reads_it(value: float, text: str) -> None:
    assert number(value) == text
    (family,) = text_string_to_metric_families(f"# TYPE x gauge\nx {number(value)}\n")
    assert family.samples[0].value == pytest.approx(value, nan_ok=True)
