"""The programmer's tools: a plan becomes a Python module, findings become a better module."""

import ast
import keyword
import re

from mcp.server.mcpserver.exceptions import ToolError

from demo.agents.plans import Code, Finding, Plan, Step

MENDED_AT_ONCE = 3
"""Findings that one refinement takes care of."""


def write_code(plan: Plan) -> Code:
    """Write a first module: one function for each step. Like any first draft it lacks things here and there."""
    if not plan.steps:
        raise ToolError("a plan without steps cannot be programmed")
    functions = [_draft(index, step) for index, step in enumerate(plan.steps)]
    module = ast.Module(body=[_statement(plan.goal), *functions], type_ignores=[])
    return Code(source=_print(module))


def refine_code(code: Code, findings: list[Finding]) -> Code:
    """Mend the first findings of a validation."""
    try:
        module = ast.parse(code.source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ToolError(f"the code does not parse: {error}") from error
    for finding in findings[:MENDED_AT_ONCE]:
        _mend(module, finding)
    return Code(source=_print(module), revision=code.revision + 1)


def function_name(title: str) -> str:
    """Return the name of a step's function: the title as a Python identifier."""
    name = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")[:60]
    return name if name.isidentifier() and not keyword.iskeyword(name) else f"step_{name}".rstrip("_")


def _draft(index: int, step: Step) -> ast.FunctionDef:
    documentation = "" if index % 3 == 1 else f"    {_sentence(step.title)!r}\n"
    returns = "" if index % 3 == 2 else " -> set[str]"
    caught = "except:" if index == 3 else "except TypeError:"
    source = (
        f"def {function_name(step.title)}(done: set[str]){returns}:\n{documentation}"
        f"    try:\n        return done | {{{step.id!r}}}\n    {caught}\n        return done\n"
    )
    return _function(source)


def _mend(module: ast.Module, finding: Finding) -> None:
    functions = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}
    function = functions.get(finding.where)
    if finding.rule == "docstring" and function:
        function.body.insert(0, _statement(function.name.replace("_", " ")))
    elif finding.rule == "annotation" and function:
        function.returns = ast.parse("set[str]", mode="eval").body
    elif finding.rule == "function" and finding.where.isidentifier():
        module.body.append(_function(f"def {finding.where}(done: set[str]) -> set[str]:\n    return done\n"))
    elif finding.rule == "bare_except":
        for node in ast.walk(module):
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                node.type = ast.Name("TypeError", ast.Load())


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _statement(words: str) -> ast.Expr:
    return ast.Expr(ast.Constant(_sentence(words)))


def _function(source: str) -> ast.FunctionDef:
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)  # noqa: S101 - tells the type checker what the source says
    return function


def _print(module: ast.Module) -> str:
    return ast.unparse(ast.fix_missing_locations(module)) + "\n"
