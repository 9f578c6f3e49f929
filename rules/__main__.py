"""Write the Prometheus rules and their unit tests, or check that the committed ones are fresh."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.config import ConfigError, Problem, exit_with, gathering
from contract.generated import Generated, add_check, finish
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
from rules.links import Links
from rules.pack import Pack
from rules.slos import Objective

HERE = Path("rules")
SCHEMA = HERE / "policy.schema.json"
_HEAD = conventions.GENERATED_BY.partition("{")[0] + "rules/"


@dataclass(frozen=True)
class Sources:
    """Where everything is read from."""

    policies: Path = HERE / "policies"
    links: Path = HERE / "links.yaml"
    slos: Path = HERE / "slos.yaml"
    environment: Path | None = None
    root: Path = Path()
    """The project, where the lint looks up receivers, dashboards and runbooks."""


def files(sources: Sources, out: Path) -> dict[Path, str]:
    """Return every generated file with its text; raises ConfigError."""
    read, addresses, objectives = _read(sources)
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


def _read(sources: Sources) -> tuple[Pack, Links, Mapping[str, Objective]]:
    problems: list[Problem] = []
    read = addresses = objectives = None
    with gathering(problems):
        read = pack.read(sources.policies)
        if sources.environment:
            read = environments.apply(read, sources.environment)
    with gathering(problems):
        addresses = links.read(sources.links)
    with gathering(problems):
        objectives = slos.read(sources.slos)
    if read is None or addresses is None or objectives is None or problems:
        raise ConfigError(problems)
    return read, addresses, objectives


def generated(sources: Sources = Sources(), out: Path | None = None) -> Generated:
    """Return every generated file with its text, without a folder also the schema; raises ConfigError."""
    folder = out or HERE / "generated"
    return Generated(files(sources, folder) | ({} if out else {SCHEMA: schema.text()}), _is_ours, folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m rules", description=__doc__)
    add_check(parser)
    parser.add_argument("--policies", type=Path, default=Sources.policies, help="folder of policy files")
    parser.add_argument("--links", type=Path, default=Sources.links)
    parser.add_argument("--slos", type=Path, default=Sources.slos)
    parser.add_argument("--environment", type=Path, metavar="FILE", help="overrides of an environment; asks for --out")
    parser.add_argument("--root", type=Path, default=Sources.root, help="folder of the project")
    parser.add_argument("--out", type=Path, help="folder of generated files (rules/generated)")
    options = parser.parse_args(arguments)
    if options.environment and not options.out:
        parser.error("--environment asks for --out: the folder of that environment's files")
    try:
        sources = Sources(options.policies, options.links, options.slos, options.environment, options.root)
        return finish([generated(sources, options.out)], check=options.check)
    except ConfigError as error:
        exit_with(error)


def _is_ours(file: Path, text: str) -> bool:
    """Whether this generator wrote a file; Alertmanager's says that other sources are to be edited."""
    return text.startswith(_HEAD) or (file.name == SCHEMA.name and f'"title": "{schema.TITLE}"' in text)


if __name__ == "__main__":
    sys.exit(main())
