"""Write every dashboard, or under --check say which committed one differs."""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from contract.config import ConfigError, exit_with
from contract.generated import write_or_check
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
from dashboards.limits import LimitError, Limits
from rules import pack
from rules import slos as objectives
from rules.slos import Objective

ROOT = Path(__file__).parent
POLICIES = ROOT.parent / "rules" / "policies"
OBJECTIVES = ROOT.parent / "rules" / "slos.yaml"


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


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 is written or fresh, 1 stale, 2 broken policies."""
    parser = argparse.ArgumentParser(prog="python -m dashboards", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; print differences and exit 1 if any")
    parser.add_argument("--policies", type=Path, default=POLICIES, help="folder of the alert policies")
    parser.add_argument("--output", type=Path, default=ROOT / "generated", help="folder of the dashboards")
    options = parser.parse_args(arguments)
    try:
        found = files(options.output, options.policies)
    except ConfigError as error:
        exit_with(error)
    except LimitError as error:
        print(f"{options.policies}: {error}", file=sys.stderr)
        return 2
    return write_or_check(found, check=options.check, folder=options.output)


if __name__ == "__main__":
    sys.exit(main())
