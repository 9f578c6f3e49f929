"""Runs every check on every policy; a check prints nothing, it returns findings."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules

from contract.config import Finding, Problem
from rules import checks, pack
from rules.facts import Facts
from rules.policy import Policy

Check = Callable[[Policy, Facts], Iterator[Finding]]
FIRST = "invalid_promql"
"""What does not parse cannot be looked into."""


def all_checks() -> Mapping[str, Check]:
    """Return every check by its name, which is that of its file."""
    names = sorted(module.name for module in iter_modules(checks.__path__))
    return {name: import_module(f"{checks.__name__}.{name}").check for name in names}


def problems(facts: Facts, skipped: Iterable[str] = ()) -> Iterator[Problem]:
    """Yield every problem of the pack, with its place; the check's name stands before the message."""
    checks_by_name = {name: check for name, check in all_checks().items() if name not in skipped}
    for policy in facts.pack:
        is_broken = any(True for _ in checks_by_name[FIRST](policy, facts))
        for name, check in checks_by_name.items():
            if is_broken and name != FIRST:
                continue
            if name not in policy.terms.lint:
                for finding in check(policy, facts):
                    yield pack.problem(policy, replace(finding, message=f"{name}: {finding.message}"))
        for name in policy.terms.lint:
            if name not in checks_by_name and name not in skipped:
                mend = f"checks: {', '.join(checks_by_name)}"
                yield pack.problem(policy, Finding(("lint", name), "no such check", mend))
