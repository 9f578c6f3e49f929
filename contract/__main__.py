"""Writes docs/metrics.md, the reference of every metric, from the catalogue: `python -m contract [--check]`."""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from contract.config import ConfigError, exit_with
from contract.generated import Generated, add_check, finish, opens_with
from contract.metric import Metric
from contract.metrics import CATALOGUE

PAGE = Path("docs/metrics.md")

_TITLE = "# Metrics\n"
_HEAD = f"""{_TITLE}
Every metric that MCP Lookout emits. This page is generated from `contract/metrics.py` (`make generate`).
A label with a closed set of values shows them; all such series start at 0, so that the first event counts.
"""


def page(metrics: Iterable[Metric]) -> str:
    """Return the reference page for these metrics, one section a service."""
    by_service: dict[str, list[Metric]] = {}
    for metric in metrics:
        by_service.setdefault(" and ".join(metric.services).replace("_", " "), []).append(metric)
    return _HEAD + "".join(_section(service, group) for service, group in by_service.items())


def _section(service: str, metrics: Iterable[Metric]) -> str:
    rows = "\n".join(f"| `{m.name}` | {m.kind} | {m.help} | {_labels(m)} |" for m in metrics)
    return f"\n## {service.capitalize()}\n\n| metric | type | meaning | labels |\n|---|---|---|---|\n{rows}\n"


def _labels(metric: Metric) -> str:
    return "<br>".join(_label(metric, label) for label in metric.labels) + "".join(_buckets(metric))


def _label(metric: Metric, label: str) -> str:
    values = metric.values.get(label)
    return f"`{label}`: {', '.join(values)}" if values else f"`{label}`"


def _buckets(metric: Metric) -> Iterator[str]:
    if metric.buckets:
        yield ("<br>" if metric.labels else "") + f"buckets: {', '.join(f'{bound:g}' for bound in metric.buckets)}"


def generated() -> Generated:
    """Return the page with its text."""
    return Generated({PAGE: page(CATALOGUE.values())}, opens_with(_TITLE))


def main() -> None:
    """Write the page, or compare it under --check (exit code 1 on a difference)."""
    parser = argparse.ArgumentParser(prog="python -m contract", description=__doc__)
    add_check(parser)
    try:
        code = finish([generated()], check=parser.parse_args().check)
    except ConfigError as error:
        exit_with(error)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
