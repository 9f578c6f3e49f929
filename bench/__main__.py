"""Run the benchmarks and print one table: `python -m bench [NAME …]`. Exit code 1 when a budget is missed.

Every module of this package with a function `run()` that yields measures is a benchmark.
"""

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

import bench
from bench.report import Measure, table

Run = Callable[[], Iterable[Measure]]


def benchmarks() -> dict[str, Run]:
    """Return every benchmark by its name."""
    names = [module.name for module in pkgutil.iter_modules(bench.__path__) if module.name != "__main__"]
    found = ((name, getattr(importlib.import_module(f"bench.{name}"), "run", None)) for name in names)
    return {name: run for name, run in found if run is not None}


def main(arguments: Sequence[str] | None = None, known: Mapping[str, Run] | None = None) -> int:
    """Run what was asked for of the known benchmarks, telling each measure as it comes."""
    known = benchmarks() if known is None else known
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; default: all")
    chosen = parser.parse_args(arguments).names or list(known)
    if unknown := [name for name in chosen if name not in known]:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    measures = []
    for name in chosen:
        for measure in known[name]():
            measures.append(measure)
            print(f"{name}: {' '.join(filter(None, measure.row()))}", file=sys.stderr, flush=True)
    print(table(measures))
    return 1 if any(measure.is_met is False for measure in measures) else 0


if __name__ == "__main__":
    raise SystemExit(main())
