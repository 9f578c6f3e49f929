"""The pack: every policy of a folder, read at once, with every problem of every file."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from contract import yaml_source
from contract.config import ConfigError, Finding, Problem, gathering, load
from rules.policy import Policy, PolicyFile


@dataclass(frozen=True)
class Pack:
    """Policies in the order of their files and within them."""

    policies: tuple[Policy, ...]

    def __iter__(self) -> Iterator[Policy]:
        return iter(self.policies)

    def get(self, name: str) -> Policy | None:
        """Return the policy of that name."""
        return next((policy for policy in self.policies if policy.name == name), None)


def read(folder: Path) -> Pack:
    """Read every policy file of a folder; raises ConfigError with the problems of all of them.

    Hidden files are passed over, as editors and Kubernetes leave them there; any other that is not read is refused.
    """
    present = sorted(path for path in folder.glob("*") if not path.name.startswith("."))
    problems = [_stray(path) for path in present if path.suffix != ".yaml"]
    policies: list[Policy] = []
    for file in (path for path in present if path.suffix == ".yaml"):
        with gathering(problems):
            policies += _read_file(file, taken={policy.name: policy.file for policy in policies})
    if not policies and not problems:
        problems.append(Problem(str(folder), 1, "", "there is no policy file here", "check the path"))
    if problems:
        raise ConfigError(problems)
    return Pack(tuple(policies))


def _stray(path: Path) -> Problem:
    if path.is_dir():
        return Problem(str(path), 1, "", "a folder among the policies is not read", "move its files up, or it away")
    if path.suffix.lower() in (".yml", ".yaml"):
        return Problem(str(path), 1, "", "policies in it are not read", f"rename it to {path.stem}.yaml")
    return Problem(str(path), 1, "", "no policy file", "move it away; a policy file is named NAME.yaml")


def _read_file(file: Path, taken: dict[str, Path]) -> Iterable[Policy]:
    def check(read: PolicyFile) -> Iterator[Finding]:
        for name in read.policies:
            if name in taken:
                mend = f"{taken[name].name} has it already; choose another name"
                yield Finding(("policies", name), "two policies of one name", mend)

    read = load(file, PolicyFile, check).config
    return (Policy(name, terms.component or read.component, terms, file) for name, terms in read.policies.items())


def problem(policy: Policy, finding: Finding) -> Problem:
    """Return a finding about a policy with its place; the finding's location starts at the policy.

    What an environment has changed, its file is to mend.
    """
    file = policy.environment or policy.file
    source = yaml_source.parse(file.read_text(encoding="utf-8"))
    line, known = source.place(("policies", policy.name, *finding.location))
    field = ".".join(str(step) for step in known)
    return Problem(str(file), line, field, finding.message, finding.mend, finding.is_warning)
