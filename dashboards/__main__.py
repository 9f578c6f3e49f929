"""Write every dashboard, or under --check say which committed one differs."""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from contract.config import ConfigError, Problem, exit_with
from contract.generated import Generated, add_check, finish
from dashboards import (
    agents,
    audit,
    infrastructure,
    lookout,
    operations,
    overview,
    secops,
    security,
    slos,
    workflows,
)
from dashboards.board import Board, render
from dashboards.conventions import UID_PREFIX
from dashboards.limits import LimitError, Limits
from rules import pack
from rules import slos as objectives
from rules.slos import Objective

OUTPUT = Path("dashboards/generated")
POLICIES = Path("rules/policies")
OBJECTIVES = Path("rules/slos.yaml")


def boards(limits: Limits, promised: Mapping[str, Objective]) -> Iterator[Board]:
    """Yield every dashboard."""
    yield overview.board(limits)
    yield agents.board(limits)
    yield workflows.board(limits)
    yield operations.board(limits)
    yield security.board(limits)
    yield audit.board()
    yield slos.board(promised)
    yield secops.board(limits)
    yield infrastructure.board(limits)
    yield lookout.board(limits)


def files(folder: Path, policies: Path) -> dict[Path, str]:
    """Return the text of every generated file; raises ConfigError when the policies are broken."""
    limits = Limits(pack.read(policies))
    return {folder / f"{board.name}.json": render(board) for board in boards(limits, objectives.read(OBJECTIVES))}


def generated(output: Path = OUTPUT, policies: Path = POLICIES) -> Generated:
    """Return every dashboard with its text; raises ConfigError."""
    try:
        return Generated(files(output, policies), _is_ours, output)
    except LimitError as error:
        message, _, mend = str(error).partition("; ")
        raise ConfigError([Problem(str(policies), 1, "", message, mend)]) from None


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 is written or fresh, 1 stale, 2 broken policies."""
    parser = argparse.ArgumentParser(prog="python -m dashboards", description=__doc__)
    add_check(parser)
    parser.add_argument("--policies", type=Path, default=POLICIES, help="folder of the alert policies")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of the dashboards")
    options = parser.parse_args(arguments)
    try:
        return finish([generated(options.output, options.policies)], check=options.check)
    except ConfigError as error:
        exit_with(error)


def _is_ours(file: Path, text: str) -> bool:
    """Whether this generator wrote a file: its uid and its name are one."""
    return f'"uid": "{UID_PREFIX}{file.stem}"' in text


if __name__ == "__main__":
    sys.exit(main())
