"""Answers to the PromQL checks behind the infrastructure and security scores."""

import math
from collections.abc import Mapping
from typing import Any

import orjson

from exporter.config import Check
from exporter.exchange import HttpClient
from exporter.outcome import Failure
from exporter.probes.http import get

PATH = "/api/v1/query"


async def read(http: HttpClient, check: Check, timeout_seconds: float) -> float | str:
    """Return the worst value that the check's query finds now, or why there is none."""
    answer = await get(http, timeout_seconds, "application/json")
    if isinstance(answer, Failure):
        return f"Prometheus: {answer.detail}"
    return judge(answer.body, answer.status, check)


def judge(body: bytes, status: int, check: Check) -> float | str:
    """Read an answer of the query API: the largest value where more is worse, else the smallest."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return f"Prometheus answers with status {status}, and not JSON"
    if not isinstance(document, dict) or document.get("status") != "success":
        reason = document.get("error") if isinstance(document, dict) else None
        return f"Prometheus refuses the query: {str(reason)[:120]}"
    values = [value for value in map(_number, _samples(document)) if not math.isnan(value)]
    if not values:
        return "no data in Prometheus"
    return max(values) if check.bad > check.good else min(values)


def _samples(document: Mapping[str, Any]) -> list[Any]:
    data = document.get("data")
    kind, result = (data.get("resultType"), data.get("result")) if isinstance(data, dict) else (None, None)
    if kind == "vector" and isinstance(result, list):
        return [item.get("value") for item in result if isinstance(item, dict)]
    return [result] if kind == "scalar" else []


def _number(sample: Any) -> float:
    try:
        return float(sample[1])
    except (TypeError, ValueError, IndexError, KeyError):
        return math.nan
