"""What Alertmanager says, read into values: the body of its webhook (version 4) its list of alerts, and its groups.

Both come from outside: everything is bounded, and each alert is read for itself, so that an odd one hides no other.
"""

import datetime
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from contract.vocabulary import OddAlert
from incident_desk.incident import Alert
from rules import conventions

MAX_ALERTS = 50_000
MAX_TEXTS = 64
"""Labels, and annotations, that are kept."""
MAX_TEXT = 4096
"""Characters of one that are kept."""
_FIRST = frozenset(
    (*conventions.GROUPING, "agent", "severity", "escalation", "component", "instance", "job",
     "summary", "description", "runbook_url", "dashboard_url", conventions.CONDITION_HELD)
)  # fmt: skip
"""Kept before others."""
_FINGERPRINT = re.compile(r"[0-9A-Za-z_-]{1,64}")
_NAME = re.compile(r"[^\x00-\x1f]{1,256}")


class MalformedError(ValueError):
    """The text is not what Alertmanager sends; the message says where."""


class Odd(NamedTuple):
    """An alert of which not everything could be taken."""

    handling: OddAlert
    alert: str
    problem: str


class Read(NamedTuple):
    """The alerts of a text, and what was odd about some of them."""

    alerts: tuple[Alert, ...]
    odd: tuple[Odd, ...] = ()


def of_webhook(body: bytes) -> Read:
    """Return the alerts of a notification. Raises MalformedError where there is none that could be read."""
    document = _json(body)
    if not isinstance(document, dict) or document.get("version") != "4":
        raise MalformedError("not a notification of version 4")
    read = _each(document.get("alerts"), _of_notification)
    if read.odd and not read.alerts:
        raise MalformedError(read.odd[0].problem)
    return read


def of_list(body: bytes) -> Read:
    """Return the alerts of GET /api/v2/alerts, all of which fire. Raises MalformedError."""
    return _each(_json(body), _of_listing)


def muted(body: bytes) -> frozenset[str]:
    """Return the fingerprints of GET /api/v2/alerts/groups that are muted in every group. Raises MalformedError.

    `mutedBy` is new in Alertmanager 0.28; older ones say of nothing that it is muted.
    """
    silent, heard = set[str](), set[str]()
    try:
        for group in _json(body):
            for item in group["alerts"]:
                (silent if item["status"].get("mutedBy") else heard).add(item["fingerprint"])
    except (AttributeError, KeyError, TypeError) as error:
        raise MalformedError(f"not a list of groups: {error}") from None
    return frozenset(silent - heard)


def _each(found: Any, read: Callable[[dict[str, Any], list[str]], Alert]) -> Read:
    if not isinstance(found, list) or len(found) > MAX_ALERTS:
        raise MalformedError(f"not a list of at most {MAX_ALERTS}")
    alerts, odd = list[Alert](), list[Odd]()
    for item in found:
        problems = list[str]()
        try:
            alerts.append(read(item if isinstance(item, dict) else {}, problems))
            odd += [Odd(OddAlert.CUT, alerts[-1].labels.get("alertname", "unnamed")[:100], each) for each in problems]
        except MalformedError as error:
            odd.append(Odd(OddAlert.SKIPPED, "", str(error)))
    return Read(tuple(alerts), tuple(odd))


def _of_notification(item: dict[str, Any], problems: list[str]) -> Alert:
    status = item.get("status")
    if status not in ("firing", "resolved"):
        raise MalformedError("status is neither firing nor resolved")
    ended = _moment(item, "endsAt", problems) if status == "resolved" else None
    return Alert(**_shared(item, problems), ended=ended)


def _of_listing(item: dict[str, Any], problems: list[str]) -> Alert:
    status, receivers = item.get("status"), item.get("receivers")
    state = status.get("state") if isinstance(status, dict) else None
    names = [each.get("name") for each in receivers if isinstance(each, dict)] if isinstance(receivers, list) else []
    return Alert(
        **_shared(item, problems),
        is_suppressed=state == "suppressed",
        receivers=tuple(dict.fromkeys(name for name in names if isinstance(name, str))),
    )


def _shared(item: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    fingerprint = item.get("fingerprint")
    if not isinstance(fingerprint, str) or not _FINGERPRINT.fullmatch(fingerprint):
        raise MalformedError("no fingerprint")
    return {
        "fingerprint": fingerprint,
        "labels": _texts(item, "labels", problems),
        "annotations": _texts(item, "annotations", problems),
        "started": _moment(item, "startsAt", problems),
    }


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"not JSON: {error}") from None


def _texts(item: dict[str, Any], key: str, problems: list[str]) -> dict[str, str]:
    found = item.get(key)
    if not isinstance(found, dict):
        problems.append(f"{key} are no object")
        return {}
    kept = {name: text[:MAX_TEXT] for name, text in found.items() if isinstance(text, str) and _NAME.fullmatch(name)}
    if len(kept) < len(found):
        problems.append(f"{len(found) - len(kept)} of the {key} have a name or value that cannot be kept")
    if len(kept) > MAX_TEXTS:
        problems.append(f"of {len(kept)} {key} {MAX_TEXTS} are kept")
        kept = dict(sorted(kept.items(), key=lambda pair: pair[0] not in _FIRST)[:MAX_TEXTS])
    return kept


def _moment(item: dict[str, Any], key: str, problems: list[str]) -> float:
    """Return a time since 1970; infinity for any other, which whoever uses it takes for now."""
    try:
        moment = datetime.datetime.fromisoformat(item[key])
        seconds = moment.replace(tzinfo=moment.tzinfo or datetime.UTC).timestamp()
    except (KeyError, TypeError, ValueError, OverflowError):
        seconds = -math.inf
    if seconds >= 0:
        return seconds
    problems.append(f"{key} is no time since 1970; the moment of reading is taken")
    return math.inf
