"""Series of a policy's case, written into a Prometheus as if they had just happened."""

import re
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from rules import promql, render
from rules.links import Links
from rules.policy import Case, Policy

_TERM = re.compile(r"(?P<start>_|-?[\d.]+)(?P<step>[+-][\d.]+)?(?:x(?P<times>\d+))?")


def expand(values: str) -> list[float | None]:
    """Return the samples of promtool's notation; None is a missing one."""
    found: list[float | None] = []
    for word in values.split():
        term = _TERM.fullmatch(word)
        assert term is not None, word
        times = int(term["times"] or 0)
        if term["start"] == "_":
            found += [None] * (times or 1)
        else:
            start, step = float(term["start"]), float(term["step"] or 0)
            found += [start + step * number for number in range(times + 1)]
    return found


def firing_case(policy: Policy) -> Case:
    """Return the first case in which the policy fires."""
    return next(case for case in policy.terms.tests.values() if case.fires_at)


def samples(policy: Policy, now: float) -> Iterator[str]:
    """Yield the lines of the policy's first firing case in OpenMetrics, shifted so that the alert fires at `now`."""
    case = firing_case(policy)
    fires_at = case.fires_at[0]
    for series, at, value in shifted(policy, case, policy.name, now - fires_at):
        if at <= now:
            yield f"{series} {value!r} {at:.3f}"


def shifted(policy: Policy, case: Case, mark: str, start: float) -> Iterator[tuple[str, float, float]]:
    """Yield the samples of a case that begins at `start`: marked series, time, value."""
    tells_time = "time()" in policy.terms.condition.expression()
    for selector, values in case.series.items():
        series = isolated(selector, mark).replace('", ', '",')
        for index, value in enumerate(expand(values)):
            if value is not None:
                yield series, start + index * case.interval, value + start if tells_time and value else value


def isolated(expr: str, mark: str) -> str:
    """Return an expression or series that knows only series with this mark."""
    for metric in {use.metric for use in promql.uses(promql.parse(expr))}:
        pattern = rf"(?<![\w:]){re.escape(metric)}(?![\w:])(?P<open>\{{)?"
        expr = re.sub(pattern, partial(_with_label, metric, mark), expr)
    return expr


def _with_label(name: str, mark: str, found: re.Match[str]) -> str:
    return f'{name}{{replay="{mark}"' + ("," if found["open"] else "}")


def rule(policy: Policy, links: Links) -> dict[str, Any]:
    """Return the policy's rule on its own series, without waiting: durations are promtool's to judge."""
    written = render.alerting_rule(policy, links)
    kept = {key: value for key, value in written.items() if key not in ("for", "keep_firing_for")}
    return {**kept, "expr": isolated(written["expr"], policy.name)}


def backfill(promtool: Path, lines: list[str], folder: Path) -> None:
    """Write samples into a Prometheus data folder."""
    text = folder.with_suffix(".om")
    text.write_text("\n".join([*lines, "# EOF", ""]))
    command: list[str | Path] = [promtool, "tsdb", "create-blocks-from", "openmetrics", text, folder]
    subprocess.run(command, check=True, capture_output=True)
