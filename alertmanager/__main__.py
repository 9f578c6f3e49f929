"""Write alertmanager.yml, or check that the committed one is fresh."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from alertmanager import configuration, kubernetes, own_checks, reach
from alertmanager.own_config import OwnConfig
from alertmanager.reach import Tree
from alertmanager.receivers import Receivers
from contract.config import ConfigError, Finding, Location, Problem, exit_with, gathering, load
from contract.generated import Generated, add_check, finish, opens_with
from rules import conventions, environments, escalation, facts, pack, slos, yaml_text
from rules.escalation import Escalations
from rules.pack import Pack

HERE = Path("alertmanager")
_HEAD = conventions.GENERATED_BY.format(
    source="alertmanager/receivers.yaml, rules/escalation.yaml and rules/policies/*.yaml"
)
_OURS = conventions.GENERATED_BY.partition("{")[0] + "alertmanager/"


@dataclass(frozen=True)
class Sources:
    """Where everything is read from."""

    policies: Path = Path("rules/policies")
    receivers: Path = HERE / "receivers.yaml"
    escalation: Path = Path("rules/escalation.yaml")
    secrets: Path | None = None
    environment: Path | None = None


def unknown_channels(read: Pack, who: Receivers) -> Iterator[Problem]:
    """Find the channels that a policy names and nobody defines."""
    for policy in read:
        for index, channel in enumerate(policy.terms.channels):
            if channel not in who.channels:
                yield pack.problem(policy, _unknown(("channels", index), channel, who))


def check_stages(escalations: Escalations, who: Receivers) -> Iterator[Finding]:
    """Find the channels that a stage names and nobody defines."""
    for word, stages in escalations.escalations.items():
        for place, stage in enumerate(stages):
            for index, channel in enumerate(stage.channels):
                if channel not in who.channels:
                    yield _unknown(("escalations", word.value, place, "channels", index), channel, who)


def _unknown(location: Location, channel: str, who: Receivers) -> Finding:
    mend = f"define it among the receivers, or use one of {', '.join(who.channels)}"
    return Finding(location, f"unknown channel {channel}", mend)


def files(sources: Sources, out: Path) -> dict[Path, str]:
    """Return every generated file with its text; raises ConfigError with the problems of all sources."""
    read, who, stages = _read(sources)
    config = configuration.render(read, who, stages)
    objects = {"alertmanager.yml": config, "kubernetes/alertmanagerconfig.yaml": kubernetes.alertmanager_config(config)}
    return {out / name: yaml_text.dump(content, _HEAD) for name, content in objects.items()}


def _read(sources: Sources) -> tuple[Pack, Receivers, Escalations]:
    problems: list[Problem] = []
    read = who = stages = None
    with gathering(problems):
        read = pack.read(sources.policies)
        if sources.environment:
            read = environments.apply(read, sources.environment)
    with gathering(problems):
        who = configuration.read(sources.receivers, sources.secrets)
    with gathering(problems):
        stages = escalation.read(sources.escalation, lambda found: check_stages(found, who) if who else ())
    if read and who:
        problems += unknown_channels(read, who)
    if read is None or who is None or stages is None or problems:
        raise ConfigError(problems)
    return read, who, stages


def check_routes(file: Path, sources: Sources) -> None:
    """Check that by somebody's own alertmanager.yml every alert reaches who it must; raises ConfigError."""
    tree = Tree(load(file, OwnConfig, environ=None).config)
    read, who, stages = _read(sources)
    known = facts.gather(read, Path(), slos.read(Path("rules/slos.yaml")))

    def check(_config: OwnConfig) -> Iterator[Finding]:
        yield from own_checks.receivers(tree, known, stages)
        yield from own_checks.intervals(tree)
        yield from own_checks.inhibitions(tree, known)
        if who.incident_desk:
            yield from own_checks.desk(tree, known, stages)

    problems = list(reach.problems(tree, known))
    with gathering(problems):
        load(file, OwnConfig, check, environ=None)
    if problems:
        raise ConfigError(problems)


def generated(sources: Sources = Sources(), out: Path = HERE / "generated") -> Generated:
    """Return every generated file with its text; raises ConfigError."""
    return Generated(files(sources, out), opens_with(_OURS), out)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m alertmanager", description=__doc__)
    add_check(parser)
    parser.add_argument("--policies", type=Path, default=Sources.policies, help="folder of policy files")
    parser.add_argument("--receivers", type=Path, default=Sources.receivers)
    parser.add_argument("--escalation", type=Path, default=Sources.escalation, help="stages of escalation")
    parser.add_argument("--secrets", type=Path, help="folder in which every named secret must be")
    parser.add_argument("--environment", type=Path, metavar="FILE", help="overrides of an environment; asks for --out")
    parser.add_argument("--routes", type=Path, metavar="FILE", help="instead, check the routes of an alertmanager.yml")
    parser.add_argument("--out", type=Path, help="folder of generated files (alertmanager/generated)")
    options = parser.parse_args(arguments)
    if options.environment and not options.out:
        parser.error("--environment asks for --out: the folder of that environment's files")
    try:
        sources = Sources(options.policies, options.receivers, options.escalation, options.secrets, options.environment)
        if options.routes:
            check_routes(options.routes, sources)
            return 0
        return finish([generated(sources, options.out or HERE / "generated")], check=options.check)
    except ConfigError as error:
        exit_with(error)


if __name__ == "__main__":
    sys.exit(main())
