"""Runs several generators as one: `python -m contract.generate [--check] PACKAGE...`.

Everything is rendered before anything is written, so that a mistake in one source leaves no half of the files new.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module

from contract.config import ConfigError, Problem, exit_with
from contract.generated import Generated, add_check, finish


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m contract.generate", description=__doc__)
    add_check(parser)
    parser.add_argument("packages", nargs="+", metavar="PACKAGE", help="has a __main__ with a function `generated`")
    options = parser.parse_args(arguments)
    try:
        return finish(_render(options.packages), check=options.check)
    except ConfigError as error:
        exit_with(error)


def _render(packages: Iterable[str]) -> list[Generated]:
    """Render everything; raises ConfigError with what any generator finds, once."""
    found: set[Problem] = set()
    rendered = list(_each(packages, found))
    if found:
        raise ConfigError(found)
    return rendered


def _each(packages: Iterable[str], found: set[Problem]) -> Iterator[Generated]:
    for name in packages:
        try:
            yield import_module(f"{name}.__main__").generated()
        except ConfigError as error:
            found.update(error.problems)


if __name__ == "__main__":
    sys.exit(main())
