"""Policies changed behind their tests' back, one thing at a time: what a careless edit could do to a generated rule."""

import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from contract.fields import format_duration, parse_duration
from rules import promql, render, unit_tests
from rules.links import Links
from rules.policy import Policy
from tests.tools import tool

_COMPARISON = re.compile(r"(?<= )(?P<sign>>=|<=|==|!=|>|<) (?P<number>-?\d+(?:\.\d+)?)")
_GROUPING = re.compile(r"by \((?P<labels>[^)]*)\)")
_WINDOW = re.compile(r"\[(?P<window>\w+)\]")
_MATCHER = re.compile(r'(?P<label>\w+)(?P<sign>=~|!~|!=|=)"(?P<value>[^"]*)"(?=[,}])')
_VERDICT = re.compile(r"^  (SUCCESS|FAILED)", re.MULTILINE)
_OTHER_SIGN = {">": ("<", ">="), "<": (">", "<="), ">=": ("<", ">"), "<=": (">", "<"), "==": ("!=",), "!=": ("==",)}
_OPPOSITE = {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}


@dataclass(frozen=True)
class Mutant:
    """One changed rule."""

    policy: Policy
    change: str
    rule: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.policy.name}: {self.change}"


def mutants(policy: Policy, links: Links) -> Iterator[Mutant]:
    """Yield the mutants of a policy's rule: of durations, labels, and everything in its expression."""
    rule = render.alerting_rule(policy, links)
    for change, edits in (*_durations(rule), *_severities(rule)):
        yield Mutant(policy, change, {**rule, **edits})
    for change, expr in (*_expressions(rule["expr"]), *_operands(rule["expr"])):
        yield Mutant(policy, change, {**rule, "expr": expr})


def _durations(rule: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for key in ("for", "keep_firing_for"):
        seconds = parse_duration(rule.get(key, "0s"))
        for other in (seconds + max(15.0, seconds / 5), seconds - max(15.0, seconds / 5)):
            if seconds and other >= 0:
                yield f"{key} {rule[key]} → {format_duration(other)}", {key: format_duration(other)}
    if "for" not in rule:
        yield "for 0s → 1m", {"for": "1m"}


def _severities(rule: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for label in rule["labels"]:
        yield f"label {label} changed", {"labels": {**rule["labels"], label: "other"}}


def _expressions(expr: str) -> Iterator[tuple[str, str]]:
    for found in _COMPARISON.finditer(expr):
        for other in _OTHER_SIGN[found["sign"]]:
            yield _swap(expr, found, f"{other} {found['number']}")
        for number in _other_numbers(float(found["number"])):
            yield _swap(expr, found, f"{found['sign']} {number:.12g}")
    for found in _GROUPING.finditer(expr):
        labels = found["labels"].split(", ")
        for label in labels:
            kept = ", ".join(each for each in labels if each != label)
            yield _swap(expr, found, f"by ({kept})")
    for found in _WINDOW.finditer(expr):
        yield _swap(expr, found, f"[{format_duration(parse_duration(found['window']) * 3)}]")
    for found in _MATCHER.finditer(expr):
        yield _swap(expr, found, f'{found["label"]}{_OPPOSITE[found["sign"]]}"{found["value"]}"')


def _operands(expr: str) -> Iterator[tuple[str, str]]:
    """Yield the expression without one operand of `and`, `or` and `unless` at a time."""
    tree = promql.parse(expr)
    for number, (node, _) in enumerate(promql.walk(tree)):
        word = str(getattr(node, "op", ""))
        kept = {"right": node.lhs} if word in ("and", "or", "unless") else {}
        for side, operand in (kept | ({"left": node.rhs} if word == "or" else {})).items():
            yield f"{word} {number} without its {side} side", str(tree).replace(str(node), str(operand), 1)


def _other_numbers(number: float) -> tuple[float, ...]:
    if number in (0.0, 1.0):
        return (number + 1,)
    if number == int(number):
        step = max(1.0, int(number / 5))
        return (number + step, number - step)
    return (number * 1.2, number * 0.8)


def _swap(expr: str, found: re.Match[str], text: str) -> tuple[str, str]:
    return f"{found[0]} → {text} at {found.start()}", expr[: found.start()] + text + expr[found.end() :]


def survivors(candidates: Iterable[Mutant], links: Links, folder: Path) -> list[Mutant]:
    """Return the mutants that their policy's own cases do not notice, by one run of promtool."""
    tried = list(candidates)
    files = [folder / f"{number}.test.yaml" for number in range(len(tried))]
    for mutant, file in zip(tried, files, strict=True):
        _write(mutant, file, links)
    command: list[str | Path] = [tool("promtool"), "test", "rules", *files]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    verdicts = _VERDICT.findall(done.stdout)
    assert len(verdicts) == len(tried), done.stdout
    return [mutant for mutant, verdict in zip(tried, verdicts, strict=True) if verdict == "SUCCESS"]


def _write(mutant: Mutant, file: Path, links: Links) -> None:
    rules = file.with_suffix(".rules.yaml")
    rules.write_text(yaml.safe_dump({"groups": [{"name": "mutant", "interval": "15s", "rules": [mutant.rule]}]}))
    tests = unit_tests.test_file(mutant.policy, links)
    file.write_text(yaml.safe_dump({**tests, "rule_files": [rules.name]}))
