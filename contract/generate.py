"""Runs several generators as one: `python -m contract.generate [--check] PACKAGE...`.

Everything is rendered before anything is written, so that a mistake in one source leaves no half of the files new.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module

from contract.config import ConfigError, Problem, exit_with, gathering
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
    rendered: list[Generated] = []
    problems: list[Problem] = []
    for name in packages:
        with gathering(problems):
            rendered.append(import_module(f"{name}.__main__").generated())
    if problems:
        raise ConfigError(set(problems))
    return rendered


if __name__ == "__main__":
    sys.exit(main())
