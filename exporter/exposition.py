"""The Prometheus text format, version 0.0.4, for families that are rendered from snapshots."""

import math
from collections.abc import Iterable, Mapping

from contract.metrics import CATALOGUE

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def header(name: str) -> bytes:
    """Return the HELP and TYPE lines of a catalogued metric."""
    metric = CATALOGUE[name]
    return f"# HELP {name} {metric.help}\n# TYPE {name} {metric.kind}\n".encode()


def labels(names: Iterable[str], values: Iterable[str]) -> str:
    """Return `{name="value",…}` with the values escaped; empty without names."""
    pairs = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in zip(names, values, strict=True))
    return f"{{{pairs}}}" if pairs else ""


def sample(name: str, label_values: Iterable[str], value: float) -> str:
    """Return one line of a catalogued metric, its labels in the catalogue's order."""
    return f"{name}{labels(CATALOGUE[name].labels, label_values)} {number(value)}\n"


def histogram(
    name: str, label_values: tuple[str, ...], buckets: Mapping[float, float], total: float, count: float
) -> str:
    """Return a histogram's lines; `buckets` are cumulative counts by upper bound, the last one is +Inf = `count`."""
    names = CATALOGUE[name].labels
    bounds = [(repr(bound), buckets[bound]) for bound in sorted(buckets)] + [("+Inf", count)]
    lines = [f"{name}_bucket{labels((*names, 'le'), (*label_values, le))} {number(held)}\n" for le, held in bounds]
    own = labels(names, label_values)
    return "".join(lines) + f"{name}_sum{own} {number(total)}\n{name}_count{own} {number(count)}\n"


def number(value: float) -> str:
    """Write a value: whole numbers without a point; what is no finite number as Prometheus has it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
