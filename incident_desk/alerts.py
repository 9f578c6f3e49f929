"""What Alertmanager says, read into values: the body of its webhook (version 4) and its list of alerts.

Both come from outside: whatever does not have the documented shape is refused as a whole, and everything is bounded.
"""

import datetime
import re
from collections.abc import Iterator
from typing import Any

import orjson

from incident_desk.incident import Alert

MAX_ALERTS = 50_000
MAX_LABELS = 64
MAX_TEXT = 4096
"""Characters of a label or annotation that are kept."""
_FINGERPRINT = re.compile(r"[0-9A-Za-z_-]{1,64}")
_NAME = re.compile(r"[^\x00-\x1f]{1,256}")


class MalformedError(ValueError):
    """The text is not what Alertmanager sends; the message says where."""


def of_webhook(body: bytes) -> list[Alert]:
    """Return the alerts of a notification. Raises MalformedError."""
    document = _json(body)
    if not isinstance(document, dict) or document.get("version") != "4":
        raise MalformedError("not a notification of version 4")
    return [_of_notification(item, place) for place, item in _items(document.get("alerts"))]


def of_list(body: bytes) -> list[Alert]:
    """Return the alerts of GET /api/v2/alerts, all of which fire. Raises MalformedError."""
    return [_of_listing(item, place) for place, item in _items(_json(body))]


def _of_notification(item: dict[str, Any], place: str) -> Alert:
    status = item.get("status")
    if status not in ("firing", "resolved"):
        raise MalformedError(f"{place}: status is neither firing nor resolved")
    ended = _moment(item.get("endsAt"), f"{place}.endsAt") if status == "resolved" else None
    return Alert(**_shared(item, place), ended=ended)


def _of_listing(item: dict[str, Any], place: str) -> Alert:
    status = item.get("status")
    if not isinstance(status, dict):
        raise MalformedError(f"{place}: no status")
    receivers = [receiver.get("name") for _, receiver in _items(item.get("receivers"))]
    return Alert(
        **_shared(item, place),
        # mutedBy is new in Alertmanager 0.28.
        is_suppressed=status.get("state") != "active" or bool(status.get("mutedBy")),
        receivers=tuple(dict.fromkeys(name for name in receivers if isinstance(name, str))),
    )


def _shared(item: dict[str, Any], place: str) -> dict[str, Any]:
    fingerprint = item.get("fingerprint")
    if not isinstance(fingerprint, str) or not _FINGERPRINT.fullmatch(fingerprint):
        raise MalformedError(f"{place}: no fingerprint")
    return {
        "fingerprint": fingerprint,
        "labels": _texts(item.get("labels"), f"{place}.labels"),
        "annotations": _texts(item.get("annotations"), f"{place}.annotations"),
        "started": _moment(item.get("startsAt"), f"{place}.startsAt"),
    }


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"not JSON: {error}") from None


def _items(found: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(found, list) or len(found) > MAX_ALERTS:
        raise MalformedError(f"not a list of at most {MAX_ALERTS}")
    for index, item in enumerate(found):
        if not isinstance(item, dict):
            raise MalformedError(f"{index}: not an object")
        yield str(index), item


def _texts(found: Any, place: str) -> dict[str, str]:
    if not isinstance(found, dict) or len(found) > MAX_LABELS:
        raise MalformedError(f"{place}: not an object of at most {MAX_LABELS} texts")
    for name, text in found.items():
        if not isinstance(text, str) or not _NAME.fullmatch(name):
            raise MalformedError(f"{place}: not a text")
    return {name: text[:MAX_TEXT] for name, text in found.items()}


def _moment(found: Any, place: str) -> float:
    try:
        moment = datetime.datetime.fromisoformat(found)
        return moment.replace(tzinfo=moment.tzinfo or datetime.UTC).timestamp()
    except (TypeError, ValueError, OverflowError):
        raise MalformedError(f"{place}: not a time") from None
