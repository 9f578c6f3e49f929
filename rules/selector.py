"""Selectors in policies and objectives: what stands before a range, and cannot end it and go on with something else."""

from typing import Annotated

from pydantic import AfterValidator

from rules import promql


def _check(text: str) -> str:
    try:
        is_selector = "#" not in text and isinstance(promql.parse(f"rate({text}[5m])"), promql.Call)
    except ValueError:
        is_selector = False
    if not is_selector:
        raise ValueError(f'{text!r} is not a selector; write metric{{label="value"}}')
    return text.strip()


Selector = Annotated[str, AfterValidator(_check)]
"""A metric with its matchers, without range and offset."""
