"""What is asked of one value at once can be: nothing is below 3 and above 5."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from contract.config import Finding
from rules import matching, promql, ranges
from rules.comparison import format_number
from rules.facts import Facts
from rules.interval import HOLDS, OPPOSITE
from rules.policy import Policy
from rules.promql import Comparison


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find demands on one value that no value meets (`and`, `unless`), and choices that every value meets (`or`)."""
    for node, above in promql.walk(facts.tree(policy)):
        word = _word(node)
        if not word or (above and _word(above[0]) == word):
            continue
        for name, demands in _demands(node, word).items():
            limits = tuple(demand.limit for demand in demands)
            values = ranges.of(demands[0].value, facts.metrics).candidates(limits)
            met = [[HOLDS[demand.operator](value, demand.limit) for demand in demands] for value in values]
            shown = f" {word} ".join(f"{demand.operator} {format_number(demand.limit)}" for demand in demands)
            if len(demands) > 1 and word == "and" and not any(map(all, met)):
                yield Finding(("condition",), f"{name} is never {shown}", "one of them must go")
            if len(demands) > 1 and word == "or" and all(map(any, met)):
                yield Finding(("condition",), f"{name} is always {shown}", "one of them must go")


def _word(node: Any) -> str:
    """Return "and" or "or" for operators that compare all labels; `unless` is an `and` with what must not be."""
    if isinstance(node, promql.ParenExpr):
        return _word(node.expr)
    word = str(node.op).lower() if isinstance(node, promql.BinaryExpr) else ""
    word = "and" if word == "unless" else word
    return word if word in ("and", "or") and matching.is_plain(node) else ""


def _demands(node: Any, word: str) -> dict[str, list[Comparison]]:
    """Return what is asked of each value, by its text, over a row of one operator."""
    found: dict[str, list[Comparison]] = {}
    for each, is_denied in _row(node, word):
        asked = promql.comparison(each)
        if asked and not promql.returns_bool(each):
            asked = replace(asked, operator=OPPOSITE[asked.operator]) if is_denied else asked
            found.setdefault(str(asked.value).replace("{}", ""), []).append(asked)
    return found


def _row(node: Any, word: str) -> Iterator[tuple[Any, bool]]:
    """Yield the parts of `a and b and c`, each with whether it must not be."""
    while isinstance(node, promql.ParenExpr):
        node = node.expr
    if _word(node) != word:
        yield node, False
        return
    yield from _row(node.lhs, word)
    if str(node.op).lower() != "unless":
        yield from _row(node.rhs, word)
        return
    denied = node.rhs
    while isinstance(denied, promql.ParenExpr):
        denied = denied.expr
    yield denied, True
