"""Who an alert reaches, worked out from the routes without Alertmanager, and where that is not who its policy names."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from alertmanager.desk_routing import DESK
from alertmanager.pace import NOBODY
from contract.config import Finding, Problem
from contract.vocabulary import Severity
from rules import pack
from rules.pack import Pack

_MATCHER = re.compile(r'\s*(?P<label>[a-zA-Z_]\w*)\s*(?P<operator>=~|!~|!=|=)\s*"?(?P<value>[^"]*)"?\s*')


def receivers(route: Mapping[str, Any], labels: Mapping[str, str]) -> list[str]:
    """Return the receivers of an alert in the order of the routes; `route` is Alertmanager's tree."""
    found: list[str] = []
    for child in route.get("routes", ()):
        if _matches(child, labels):
            found += receivers({"receiver": route["receiver"], **child}, labels)
            if not child.get("continue", False):
                break
    return found or [route["receiver"]]


def _matches(route: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    return all(_holds(matcher, labels) for matcher in route.get("matchers", ()))


def _holds(matcher: str, labels: Mapping[str, str]) -> bool:
    found = _MATCHER.fullmatch(matcher)
    if found is None:
        raise ValueError(f"{matcher!r} is not a matcher")
    value = labels.get(found["label"], "")
    equal = bool(re.fullmatch(found["value"], value)) if "~" in found["operator"] else value == found["value"]
    return equal != found["operator"].startswith("!")


def problems(config: Mapping[str, Any], read: Pack) -> Iterator[Problem]:
    """Yield every policy whose alert does not reach exactly its channels, whatever its severity."""
    for policy in read:
        wanted = set(policy.terms.channels) or {NOBODY}
        for severity in Severity:
            labels = {**policy.labels(), "alertname": policy.alert, "severity": severity.value}
            reached = [name for name in receivers(config["route"], labels) if name != DESK]
            if sorted(reached) != sorted(wanted):
                message = f"{policy.alert} of severity {severity} reaches {', '.join(reached)}"
                mend = f"it must reach {', '.join(sorted(wanted))}: does a route before theirs lack `continue: true`?"
                yield pack.problem(policy, Finding(("channels",), message, mend))
                break
