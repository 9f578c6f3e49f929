"""Write alertmanager.yml, or check that the committed one is fresh."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from alertmanager import configuration, kubernetes, reach
from alertmanager.receivers import Receivers
from contract.config import ConfigError, Finding, Problem, exit_with
from contract.generated import write_or_check
from rules import conventions, environments, pack, yaml_text
from rules.pack import Pack

HERE = Path("alertmanager")


def unknown_channels(read: Pack, who: Receivers) -> Iterator[Problem]:
    """Find the channels that a policy names and nobody defines."""
    for policy in read:
        for index, channel in enumerate(policy.terms.channels):
            if channel not in who.channels:
                mend = f"define it among the receivers, or use one of {', '.join(who.channels)}"
                yield pack.problem(policy, Finding(("channels", index), f"unknown channel {channel}", mend))


def files(
    policies: Path, receivers: Path, secrets: Path | None, environment: Path | None, out: Path
) -> dict[Path, str]:
    """Return every generated file with its text; raises ConfigError with the problems of all sources."""
    problems: list[Problem] = []
    read = who = None
    try:
        read = pack.read(policies)
        if environment:
            read = environments.apply(read, environment)
    except ConfigError as error:
        problems += error.problems
    try:
        who = configuration.read(receivers, secrets)
    except ConfigError as error:
        problems += error.problems
    if read is None or who is None:
        raise ConfigError(problems)
    if problems := list(unknown_channels(read, who)):
        raise ConfigError(problems)
    head = conventions.GENERATED_BY.format(source="alertmanager/receivers.yaml and rules/policies/*.yaml")
    config = configuration.render(read, who)
    objects = {"alertmanager.yml": config, "kubernetes/alertmanagerconfig.yaml": kubernetes.alertmanager_config(config)}
    return {out / name: yaml_text.dump(content, head) for name, content in objects.items()}


def check_routes(config: Path, policies: Path) -> int:
    """Check that every policy's alert reaches its channels by somebody's own alertmanager.yml; raises ConfigError."""
    if found := list(reach.problems(yaml.safe_load(config.read_text(encoding="utf-8")), pack.read(policies))):
        raise ConfigError(found)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m alertmanager", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is not fresh")
    parser.add_argument("--policies", type=Path, default=Path("rules/policies"), help="folder of policy files")
    parser.add_argument("--receivers", type=Path, default=HERE / "receivers.yaml")
    parser.add_argument("--secrets", type=Path, help="folder in which every named secret must be")
    parser.add_argument("--environment", type=Path, metavar="FILE", help="overrides of an environment; give --out too")
    parser.add_argument("--routes", type=Path, metavar="FILE", help="instead, check the routes of an alertmanager.yml")
    parser.add_argument("--out", type=Path, default=HERE / "generated", help="folder of generated files")
    options = parser.parse_args(arguments)
    try:
        if options.routes:
            return check_routes(options.routes, options.policies)
        generated = files(options.policies, options.receivers, options.secrets, options.environment, options.out)
    except ConfigError as error:
        exit_with(error)
    return write_or_check(generated, check=options.check, folder=options.out)


if __name__ == "__main__":
    sys.exit(main())
