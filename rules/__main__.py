"""Write the Prometheus rules and their unit tests, or check that the committed ones are fresh."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from contract.config import ConfigError, exit_with
from contract.generated import write_or_check
from rules import conventions, links, pack, render, unit_tests, yaml_text

HERE = Path("rules")


def files(policies: Path, link_file: Path, out: Path) -> dict[Path, str]:
    """Return every generated file with its text; raises ConfigError."""
    read, addresses = pack.read(policies), links.read(link_file)
    head = {
        concern: conventions.GENERATED_BY.format(source=f"rules/policies/{concern}.yaml") for concern in read.concerns()
    }
    rules = {out / name: value for name, value in render.rule_files(read, addresses).items()}
    tests = {out / "tests" / name: value for name, value in unit_tests.test_files(read, addresses).items()}
    return {path: yaml_text.dump(value, head[path.stem]) for path, value in {**rules, **tests}.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m rules", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is not fresh")
    parser.add_argument("--policies", type=Path, default=HERE / "policies", help="folder of policy files")
    parser.add_argument("--links", type=Path, default=HERE / "links.yaml")
    parser.add_argument("--out", type=Path, default=HERE / "generated", help="folder of generated files")
    options = parser.parse_args(arguments)
    try:
        generated = files(options.policies, options.links, options.out)
    except ConfigError as error:
        exit_with(error)
    return write_or_check(generated, check=options.check, folder=options.out)


if __name__ == "__main__":
    sys.exit(main())
