"""Write the Prometheus rules and their unit tests, or check that the committed ones are fresh."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.config import ConfigError, exit_with
from contract.generated import write_or_check
from rules import (
    conventions,
    environments,
    facts,
    kubernetes,
    links,
    lint,
    pack,
    render,
    schema,
    slos,
    unit_tests,
    yaml_text,
)

HERE = Path("rules")


@dataclass(frozen=True)
class Sources:
    """Where everything is read from."""

    policies: Path
    links: Path
    slos: Path
    environment: Path | None
    root: Path
    """The project, where the lint looks up receivers, dashboards and runbooks."""


def files(sources: Sources, out: Path) -> dict[Path, str]:
    """Return every generated file with its text; raises ConfigError."""
    read, addresses, objectives = pack.read(sources.policies), links.read(sources.links), slos.read(sources.slos)
    if sources.environment:
        read = environments.apply(read, sources.environment)
    # The cases and inhibitions of the whole pack do not fit one with overrides.
    skipped = ("untested", "unknown_inhibition") if sources.environment else ()
    if found := list(lint.problems(facts.gather(read, sources.root, objectives), skipped)):
        raise ConfigError(found)
    contents = {
        **render.rule_files(read, addresses),
        "recording.yaml": {"groups": slos.groups(objectives)},
        **{f"tests/{name}": value for name, value in unit_tests.test_files(read, addresses).items()},
    }
    groups = [group for content in contents.values() for group in content.get("groups", ())]
    contents["kubernetes/prometheusrule.yaml"] = kubernetes.prometheus_rule(groups)
    contents |= {f"kubernetes/{each['metadata']['name']}.yaml": each for each in kubernetes.service_monitors()}
    origin = {f"{policy.name}.yaml": f"rules/policies/{policy.file.name}" for policy in read}
    head = {
        name: conventions.GENERATED_BY.format(source=origin.get(Path(name).name, "rules/*.yaml")) for name in contents
    }
    return {out / name: yaml_text.dump(value, head[name]) for name, value in contents.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m rules", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is not fresh")
    parser.add_argument("--policies", type=Path, default=HERE / "policies", help="folder of policy files")
    parser.add_argument("--links", type=Path, default=HERE / "links.yaml")
    parser.add_argument("--slos", type=Path, default=HERE / "slos.yaml")
    parser.add_argument("--environment", type=Path, metavar="FILE", help="overrides of an environment; give --out too")
    parser.add_argument("--root", type=Path, default=Path(), help="folder of the project")
    parser.add_argument("--out", type=Path, default=HERE / "generated", help="folder of generated files")
    options = parser.parse_args(arguments)
    try:
        generated = files(
            Sources(options.policies, options.links, options.slos, options.environment, options.root), options.out
        )
    except ConfigError as error:
        exit_with(error)
    if options.out == HERE / "generated" and not options.environment:
        generated[HERE / "policy.schema.json"] = schema.text()
    return write_or_check(generated, check=options.check, folder=options.out)


if __name__ == "__main__":
    sys.exit(main())
