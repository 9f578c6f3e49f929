"""Role-based access control as pure functions: roles are compiled once, decisions read nothing else.

Default deny; an explicit deny in any held role wins; inheritance is transitive and a cycle is a configuration error.
"""

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

NO_ROLE = "none"
"""Role of a decision that no role made."""


class Resource(NamedTuple):
    """What an operation touches; None where the request does not say."""

    agent: str | None = None
    agent_type: str | None = None
    tool: str | None = None
    workflow: str | None = None


@dataclass(frozen=True)
class Grant:
    """One permission pattern of a role, possibly narrowed to resources by glob patterns."""

    permission: str
    agents: tuple[str, ...] = ()
    agent_types: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    workflows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Role:
    """A role as written: its own grants and denials, and the roles it inherits."""

    inherits: tuple[str, ...] = ()
    permissions: tuple[Grant, ...] = ()
    deny: tuple[Grant, ...] = ()


class Verdict(NamedTuple):
    """What the roles say: allowed or not, the held role that decides, and the rule in words."""

    is_allowed: bool
    role: str
    rule: str


@dataclass(frozen=True)
class Rule:
    """A compiled grant or denial; `lineage` is the way from the held role to the one that states it."""

    permission: re.Pattern[str]
    constraints: tuple[tuple[int, re.Pattern[str]], ...]
    lineage: tuple[str, ...]
    source: Grant

    def __str__(self) -> str:
        limits = [
            f"{name}={','.join(patterns)}"
            for name in ("agents", "agent_types", "tools", "workflows")
            if (patterns := getattr(self.source, name))
        ]
        return " > ".join(self.lineage) + ": " + " ".join([self.source.permission, *limits])


@dataclass(frozen=True)
class Policy:
    """All roles with what they inherit written out."""

    grants: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    denials: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)

    @property
    def roles(self) -> tuple[str, ...]:
        """Names of the configured roles."""
        return tuple(self.grants)


class RoleProblem(NamedTuple):
    """Something wrong with the roles: in which one, what, and how to mend it."""

    role: str
    message: str
    mend: str


def problems(roles: Mapping[str, Role]) -> Iterator[RoleProblem]:
    """Yield what makes roles unusable: unknown parents and cycles of inheritance."""
    for name, role in roles.items():
        for parent in role.inherits:
            if parent not in roles:
                known = ", ".join(sorted(roles))
                yield RoleProblem(name, f"inherits the unknown role {parent!r}", f"known roles: {known}")
        cycle = _cycle(roles, name)
        if cycle:
            yield RoleProblem(name, f"inherits itself: {' > '.join(cycle)}", "take one of these out of `inherits`")


def compile_roles(roles: Mapping[str, Role]) -> Policy:
    """Return the policy of roles without problems; inheritance is written out.

    Raises ValueError where `problems` has something to say.
    """
    for problem in problems(roles):
        raise ValueError(f"role {problem.role} {problem.message}")
    lineages = {name: tuple(_lineages(roles, name)) for name in roles}
    return Policy(
        {name: tuple(_rules(roles, lineages[name], "permissions")) for name in roles},
        {name: tuple(_rules(roles, lineages[name], "deny")) for name in roles},
    )


def decide(policy: Policy, held: Sequence[str], permission: str, resource: Resource) -> Verdict:
    """Say whether someone with the held roles has a permission on a resource; unknown roles count as none."""
    known = sorted(role for role in set(held) if role in policy.grants)
    for role in known:
        for rule in policy.denials[role]:
            if _matches(rule, permission, resource, unknown_matches=True):
                return Verdict(False, role, f"denied by {rule}")
    for role in known:
        for rule in policy.grants[role]:
            if _matches(rule, permission, resource, unknown_matches=False):
                return Verdict(True, role, str(rule))
    return Verdict(False, known[0] if known else NO_ROLE, f"no role grants {permission}")


def _matches(rule: Rule, permission: str, resource: Resource, *, unknown_matches: bool) -> bool:
    """Match a rule; a constraint on something the request does not say never allows and always denies."""
    if not rule.permission.fullmatch(permission):
        return False
    for index, pattern in rule.constraints:
        value = resource[index]
        if not (unknown_matches if value is None else pattern.fullmatch(value)):
            return False
    return True


def _lineages(roles: Mapping[str, Role], name: str) -> Iterator[tuple[str, ...]]:
    """Yield the shortest way to each role that a role is or inherits, nearest first."""
    ways: list[tuple[str, ...]] = [(name,)]
    seen = {name}
    for way in ways:
        yield way
        for parent in roles[way[-1]].inherits:
            if parent not in seen:
                seen.add(parent)
                ways.append((*way, parent))


def _rules(roles: Mapping[str, Role], lineages: Iterable[tuple[str, ...]], kind: str) -> Iterator[Rule]:
    for lineage in lineages:
        for grant in getattr(roles[lineage[-1]], kind):
            yield Rule(glob([grant.permission]), tuple(_constraints(grant)), lineage, grant)


def _constraints(grant: Grant) -> Iterator[tuple[int, re.Pattern[str]]]:
    limits = (grant.agents, grant.agent_types, grant.tools, grant.workflows)
    for index, patterns in enumerate(limits):
        if patterns:
            yield index, glob(patterns)


def glob(patterns: Iterable[str]) -> re.Pattern[str]:
    """Compile shell patterns, case-sensitive, into one expression that any of them may fulfil."""
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns))


def _cycle(roles: Mapping[str, Role], start: str) -> tuple[str, ...]:
    """Return the way from a role back to itself, empty when there is none."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen = set[str]()
    while ways:
        way = ways.pop()
        for parent in roles[way[-1]].inherits if way[-1] in roles else ():
            if parent == start:
                return (*way, parent)
            if parent not in seen:
                seen.add(parent)
                ways.append((*way, parent))
    return ()
