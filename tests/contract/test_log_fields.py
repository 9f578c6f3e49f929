"""A field of a log line is called the same in every service: the table of docs/telemetry.md names them all."""

import ast
import logging
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("contract", "exporter", "auth_sidecar", "incident_desk", "demo")
LEVELS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})
ROW = re.compile(r"^\| (`\w+`(?:, `\w+`)*) \| [^|]+ \|$", re.MULTILINE)
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
NAMED_TUPLES = {
    "found._asdict()": {"added", "removed", "changed"},
    "each._asdict()": {"handling", "alert", "problem"},
    "call.span.exemplar": {"trace_id"},
}
"""Expressions whose keys stand elsewhere: `exporter.fingerprint.Drift`, `incident_desk.alerts.Odd`, `Span.exemplar`."""


def documented() -> set[str]:
    section = (ROOT / "docs/telemetry.md").read_text(encoding="utf-8").partition("## What a line says")[2]
    return {name for row in ROW.findall(section.partition("\n## ")[0]) for name in re.findall(r"\w+", row)}


def is_logging(node: ast.AST) -> bool:
    """Whether a node is a call such as `logger.warning(...)`."""
    function = node.func if isinstance(node, ast.Call) else None
    if not isinstance(function, ast.Attribute) or function.attr not in LEVELS:
        return False
    return "logger" in ast.unparse(function.value).lower()


def keys(value: ast.expr, function: ast.AST) -> Iterator[str]:
    """Yield the keys that an expression gives `extra`; the names in it are followed within their function."""
    if isinstance(value, ast.Dict):
        for key, inner in zip(value.keys, value.values, strict=True):
            if key is None:
                yield from keys(inner, function)
            else:
                yield str(ast.literal_eval(key))
    elif isinstance(value, ast.Name):
        yield from (key for given in given_to(value.id, function) for key in keys(given, function))
    elif isinstance(value, ast.IfExp):
        yield from (key for way in (value.body, value.orelse) for key in keys(way, function))
    else:
        yield from NAMED_TUPLES[ast.unparse(value)]


def given_to(name: str, function: ast.AST) -> list[ast.expr]:
    """Return what a name of a function is given, and what is added to it."""
    found = [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign | ast.AugAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id == name
    ]
    assert found, f"nothing is given to {name} where it is logged"
    return found


def used() -> dict[str, set[str]]:
    """Return each field with the files that log it."""
    found: dict[str, set[str]] = {}
    for file in (file for service in SERVICES for file in sorted((ROOT / service).rglob("*.py"))):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for function in (node for node in ast.walk(tree) if isinstance(node, FUNCTION)):
            calls = [node for node in ast.walk(function) if is_logging(node)]
            extras = [word.value for call in calls for word in call.keywords if word.arg == "extra"]  # type: ignore[attr-defined]
            for key in (key for extra in extras for key in keys(extra, function)):
                found.setdefault(key, set()).add(str(file.relative_to(ROOT)))
    return found


def test_every_field_is_in_the_table_and_every_row_has_a_field() -> None:
    fields = used()
    fixed = {"ts", "level", "service", "logger", "message", "exception", "trace_id", "held_back"}
    missing = {name: files for name, files in fields.items() if name not in documented()}
    assert not missing, "use a field of docs/telemetry.md, or add a row to its table"
    assert documented() - set(fields) == fixed - {"trace_id"}


def test_no_field_takes_a_name_that_logging_needs() -> None:
    assert not set(used()) & (set(vars(logging.makeLogRecord({}))) | {"message", "asctime"})


def test_what_went_wrong_is_called_a_problem() -> None:
    assert not {"error", "err", "reason", "detail", "cause"} & set(used())
