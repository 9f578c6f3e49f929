"""The validator's tools: rules for plans, and rules for Python code by its syntax tree; code is never run."""

import ast
from collections.abc import Iterator

from demo.agents.planner import VERIFICATION
from demo.agents.plans import Code, Finding, Plan, Step, Verdict, verdict
from demo.agents.programmer import function_name

FORBIDDEN_CALLS = frozenset({"eval", "exec", "compile", "__import__"})


def validate_plan(plan: Plan) -> Verdict:
    """Check a plan: every requirement has a step, ids are unique, dependencies stand earlier, all can be accepted."""
    findings = [*_coverage(plan), *_unique(plan.steps), *_dependencies(plan.steps), *_acceptance(plan.steps)]
    if not plan.steps or plan.steps[-1].title != VERIFICATION:
        findings.append(Finding(rule="verification", where="plan", message="nothing verifies the result"))
    return verdict(findings)


def validate_code(code: Code, plan: Plan | None = None) -> Verdict:
    """Check Python code: it parses, has a function for each step, all documented and annotated, and nothing rash."""
    try:
        tree = ast.parse(code.source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return verdict([Finding(rule="syntax", where="module", message=f"does not parse: {error}"[:500])])
    return verdict([*_missing(tree, plan.steps if plan else []), *_signatures(tree), *_rashness(tree)])


def _coverage(plan: Plan) -> Iterator[Finding]:
    titles = {step.title for step in plan.steps}
    for requirement in plan.requirements:
        if requirement not in titles:
            yield Finding(rule="coverage", where=requirement, message="no step for this requirement")


def _unique(steps: list[Step]) -> Iterator[Finding]:
    ids = [step.id for step in steps]
    for name in sorted({name for name in ids if ids.count(name) > 1}):
        yield Finding(rule="unique", where=name, message="more than one step has this id")


def _dependencies(steps: list[Step]) -> Iterator[Finding]:
    earlier: set[str] = set()
    for step in steps:
        unknown = [name for name in step.depends_on if name not in earlier]
        if unknown:
            message = f"depends on what does not stand before it: {', '.join(unknown)}"
            yield Finding(rule="dependency", where=step.id, message=message[:500])
        earlier.add(step.id)


def _acceptance(steps: list[Step]) -> Iterator[Finding]:
    for step in steps:
        if not step.acceptance:
            yield Finding(rule="acceptance", where=step.id, message="does not say when it is done")


def _missing(tree: ast.Module, steps: list[Step]) -> Iterator[Finding]:
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for step in steps:
        if (name := function_name(step.title)) not in defined:
            yield Finding(rule="function", where=name, message="the plan asks for this function")


def _signatures(tree: ast.Module) -> Iterator[Finding]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            if not ast.get_docstring(node):
                yield Finding(rule="docstring", where=node.name, message="is not documented")
            if node.returns is None:
                yield Finding(rule="annotation", where=node.name, message="does not say what it returns")


def _rashness(tree: ast.Module) -> Iterator[Finding]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield Finding(rule="bare_except", where=f"line {node.lineno}", message="catches everything")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
            yield Finding(rule="forbidden_call", where=f"line {node.lineno}", message=f"calls {node.func.id}")
