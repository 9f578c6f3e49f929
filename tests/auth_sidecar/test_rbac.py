"""Roles: what the seeds say, and what must hold for all roles anybody can write."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_sidecar import rbac
from auth_sidecar.config import RoleFile, check_roles
from auth_sidecar.rbac import Grant, Policy, Resource, Role
from contract.config import ConfigError, load
from tests.checkout import shipped

FILE = shipped("auth_sidecar/roles.yaml")
SEEDS = {
    "system_admin": {"workflow:delete", "anything:at_all"},
    "workflow_manager": {"workflow:create", "workflow:delete", "agent:manage", "workflow:execute", "results:view"},
    "workflow_operator": {"workflow:execute", "workflow:restart", "agent:view", "workflow:status"},
    "workflow_viewer": {"workflow:view", "workflow:status", "results:view"},
    "agent_service": {"knowledge:read", "knowledge:write", "validation:execute", "metrics:report"},
    "validation_service": {"validation:execute", "validation:report", "knowledge:read", "code:analyze"},
}
DENIED = {
    "workflow_manager": {"knowledge:read", "metrics:report"},
    "workflow_operator": {"workflow:create", "agent:manage", "validation:override"},
    "workflow_viewer": {"workflow:execute", "agent:view"},
    "agent_service": {"workflow:execute", "agent:view"},
    "validation_service": {"knowledge:write", "workflow:status"},
}

names = st.sampled_from(["a", "b", "c", "d", "e"])
permissions = st.sampled_from(["x:read", "x:write", "y:read", "x:*", "*", "?:read"])
globs = st.lists(st.sampled_from(["kb-*", "kb-1", "planner-?"]), max_size=2).map(tuple)
grants = st.builds(
    Grant, permissions, agents=globs, tools=st.lists(st.sampled_from(["t*", "t1"]), max_size=1).map(tuple)
)
wanted = st.sampled_from(["x:read", "x:write", "y:read", "z:admin"])
resources = st.builds(
    Resource, agent=st.sampled_from(["kb-1", "planner-1", None]), tool=st.sampled_from(["t1", "u", None])
)


@st.composite
def role_files(draw: st.DrawFn) -> dict[str, Role]:
    """Draw roles that inherit only from earlier ones, so without a cycle."""
    roles: dict[str, Role] = {}
    for name in draw(st.lists(names, unique=True, min_size=1)):
        parents = draw(st.lists(st.sampled_from(sorted(roles)), unique=True)) if roles else []
        own = draw(st.lists(grants, max_size=3)), draw(st.lists(grants, max_size=1))
        roles[name] = Role(tuple(parents), tuple(own[0]), tuple(own[1]))
    return roles


def allows(roles: dict[str, Role], held: list[str], permission: str, resource: Resource) -> bool:
    return rbac.decide(rbac.compile_roles(roles), held, permission, resource).is_allowed


@pytest.mark.parametrize("role", SEEDS)
def test_the_role_file_holds_the_roles_of_the_seeds(role: str) -> None:
    policy = rbac.compile_roles(load(FILE, RoleFile, check_roles).config.compiled())
    assert set(policy.roles) == set(SEEDS)
    for permission in SEEDS[role]:
        assert rbac.decide(policy, [role], permission, Resource()).is_allowed
    for permission in DENIED.get(role, ()):
        assert not rbac.decide(policy, [role], permission, Resource()).is_allowed


@given(role_files(), st.lists(names), wanted, resources, names, grants)
def test_adding_a_denial_never_allows(
    roles: dict[str, Role], held: list[str], permission: str, resource: Resource, to: str, denial: Grant
) -> None:
    before = allows(roles, held, permission, resource)
    role = roles.get(to, Role())
    after = allows(
        {**roles, to: Role(role.inherits, role.permissions, (*role.deny, denial))}, held, permission, resource
    )
    assert before or not after


@given(role_files(), st.lists(names, unique=True), wanted, resources, st.randoms())
def test_order_does_not_matter(
    roles: dict[str, Role], held: list[str], permission: str, resource: Resource, chance: object
) -> None:
    shuffled = {
        name: Role(role.inherits[::-1], role.permissions[::-1], role.deny[::-1])
        for name, role in reversed(roles.items())
    }
    assert allows(roles, held, permission, resource) == allows(shuffled, held[::-1], permission, resource)


@given(role_files(), wanted, resources)
def test_inheritance_is_transitive(roles: dict[str, Role], permission: str, resource: Resource) -> None:
    without_denials = {name: Role(role.inherits, role.permissions) for name, role in roles.items()}
    for name, role in without_denials.items():
        for parent in role.inherits:
            if allows(without_denials, [parent], permission, resource):
                assert allows(without_denials, [name], permission, resource)


@given(role_files(), st.lists(names), wanted, resources)
def test_a_denial_in_any_held_role_wins(
    roles: dict[str, Role], held: list[str], permission: str, resource: Resource
) -> None:
    everything = {**roles, "denier": Role(deny=(Grant("*"),))}
    assert not allows(everything, [*held, "denier"], permission, resource)


def test_a_constraint_on_what_is_not_known_never_allows_and_always_denies() -> None:
    roles = {
        "reader": Role(permissions=(Grant("x:read", tools=("t1",)),)),
        "all_but": Role(permissions=(Grant("x:read"),), deny=(Grant("x:read", tools=("t1",)),)),
    }
    assert not allows(roles, ["reader"], "x:read", Resource())
    assert allows(roles, ["reader"], "x:read", Resource(tool="t1"))
    assert not allows(roles, ["all_but"], "x:read", Resource())
    assert allows(roles, ["all_but"], "x:read", Resource(tool="t2"))


def test_the_rule_that_decides_is_told_in_words() -> None:
    roles = {"boss": Role(inherits=("reader",)), "reader": Role(permissions=(Grant("x:*", agents=("kb-*",)),))}
    verdict = rbac.decide(rbac.compile_roles(roles), ["boss"], "x:read", Resource(agent="kb-1"))
    assert verdict == (True, "boss", "boss > reader: x:* agents=kb-*")


def test_deep_and_wide_inheritance_is_compiled_once_a_role() -> None:
    roles = {"r0": Role(permissions=(Grant("x:read"),))}
    for level in range(1, 40):
        roles[f"r{level}"] = Role(inherits=(f"r{level - 1}", "r0", f"r{max(0, level - 2)}"))
    policy = rbac.compile_roles(roles)
    assert isinstance(policy, Policy)
    assert len(policy.grants["r39"]) == 1


def test_cycles_and_unknown_parents_are_problems_with_their_line(tmp_path: Path) -> None:
    file = tmp_path / "roles.yaml"
    file.write_text("roles:\n  a:\n    inherits: [b]\n  b:\n    inherits: [a]\n  c:\n    inherits: [nobody]\n")
    with pytest.raises(ConfigError) as raised:
        load(file, RoleFile, check_roles)
    told = [(problem.line, problem.message) for problem in raised.value.problems]
    assert told == [
        (3, "inherits itself: a > b > a"),
        (5, "inherits itself: b > a > b"),
        (7, "inherits the unknown role 'nobody'"),
    ]
    with pytest.raises(ValueError, match="inherits itself"):
        rbac.compile_roles({"a": Role(inherits=("a",))})
