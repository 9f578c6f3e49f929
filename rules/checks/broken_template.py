"""Texts are templates that Prometheus can fill in."""

import re
from collections.abc import Iterator

from contract.config import Finding
from rules.facts import Facts
from rules.policy import Policy

_ACTION = re.compile(r"\{\{(.*?)\}\}")
_STRING = re.compile(r'"[^"]*"|`[^`]*`')
_FUNCTIONS = """
humanize humanize1024 humanizeDuration humanizePercentage humanizeTimestamp title toUpper toLower urlquery printf
with end if else range and or not eq ne lt gt len index reReplaceAll match stripPort stripDomain
"""
_NAMES = frozenset(re.findall(r"\w+", _FUNCTIONS))


def check(policy: Policy, _facts: Facts) -> Iterator[Finding]:
    """Find open braces, unknown functions and Alertmanager's way to name labels."""
    for text in ("summary", "description"):
        value = getattr(policy.terms, text)
        if value.count("{{") != value.count("}}"):
            yield Finding((text,), "a {{ without its }}", "close it")
        for action in _ACTION.findall(value):
            words = re.findall(r"(?<![\w.$\"])[A-Za-z]\w*(?![\w\"])", _STRING.sub("", action))
            unknown = [word for word in words if word not in _NAMES]
            if ".Labels" in action or ".Annotations" in action:
                yield Finding((text,), f"{{{{{action}}}}} is Alertmanager's language", "write $labels.name and $value")
            elif unknown:
                yield Finding((text,), f"unknown template function {unknown[0]}", "see Prometheus' template reference")
