"""What PagerDuty's Events API v2 takes and refuses, and which incidents follow from the events.

Source: developer.pagerduty.com/docs/events-api-v2.
"""

import datetime
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from demo.sink.message import MAX_RAW, Message, facts

MAX_EVENT_BYTES = 512 * 1024
ACTIONS = {"trigger": "firing", "acknowledge": "acknowledged", "resolve": "resolved"}
SEVERITIES = ("critical", "error", "warning", "info")
_KEY_LENGTH = 32

Json = dict[str, Any]


def parse(body: bytes) -> Json | None:
    """Return the event of a request, None when it is no JSON object."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def errors(event: Json, routing_key: str) -> list[str]:
    """Return everything PagerDuty would find wrong with an event."""
    key, action, dedup_key = (event.get(name) for name in ("routing_key", "event_action", "dedup_key"))
    found = []
    if not isinstance(key, str) or len(key) != _KEY_LENGTH:
        found.append(f"Length of 'routing_key' is incorrect (should be {_KEY_LENGTH} characters)")
    elif not hmac.compare_digest(key.encode("utf-8", "replace"), routing_key.encode()):
        found.append("Invalid routing key")
    if action not in tuple(ACTIONS):
        found.append(f"'event_action' is missing or invalid (must be one of: {', '.join(ACTIONS)})")
    if dedup_key is not None and not (isinstance(dedup_key, str) and len(dedup_key) <= 255):
        found.append("'dedup_key' is too long or not a string (at most 255 characters)")
    if action in ("acknowledge", "resolve") and not dedup_key:
        found.append("'dedup_key' is missing or blank")
    if action == "trigger":
        found += _payload_errors(event.get("payload")) + _link_errors(event)
    return found


def _payload_errors(payload: Any) -> list[str]:
    if not isinstance(payload, dict):
        return ["'payload' is missing or blank"]
    found = [
        f"'payload.{name}' is missing or blank"
        for name in ("summary", "source", "severity")
        if not (isinstance(payload.get(name), str) and payload[name].strip())
    ]
    if len(str(payload.get("summary", ""))) > 1024:
        found.append("'payload.summary' is too long (at most 1024 characters)")
    severity = payload.get("severity")
    if isinstance(severity, str) and severity.strip() and severity not in SEVERITIES:
        found.append(f"'payload.severity' is invalid (must be one of: {', '.join(SEVERITIES)})")
    if not _is_moment(payload.get("timestamp")):
        found.append("'payload.timestamp' is invalid (must be ISO 8601)")
    return found


def _is_moment(found: Any) -> bool:
    try:
        return found is None or bool(datetime.datetime.fromisoformat(found))
    except (ValueError, TypeError):
        return False


def _link_errors(event: Json) -> list[str]:
    wanted = {"links": "href", "images": "src"}
    return [
        f"'{name}' must be a list of objects with '{field}'"
        for name, field in wanted.items()
        if not all(isinstance(item, dict) and item.get(field) for item in _list(event.get(name)))
    ]


def _label(name: str) -> str:
    """Return the name of a detail as people read it; Alertmanager counts alerts as `num_firing` and `num_resolved`."""
    words = name.replace("_", " ")
    return (f"{words[4:]} alerts" if name.startswith("num_") else words).capitalize()


def read(event: Json, dedup_key: str) -> Message:
    """Return what an event says."""
    payload = event["payload"] if isinstance(event.get("payload"), dict) else {}
    details = payload.get("custom_details")
    told = details if isinstance(details, dict) else {"details": details}
    # What stands in a link already, and what is empty, need not be read again.
    links = [link for link in _list(event.get("links")) if isinstance(link, dict)]
    addresses = [link.get("href") for link in links]
    stripped = {str(name): str(value).strip() for name, value in told.items() if value is not None}
    values = {name: value for name, value in stripped.items() if value and value not in addresses}
    title = str(payload.get("summary") or event.get("event_action") or "(no summary)")
    known = facts(title, str(told.get("severity") or payload.get("severity") or ""))
    return Message(
        channel="pagerduty",
        title=title[:1024],
        text="\n".join(value for value in values.values() if "\n" in value),
        fields=tuple((_label(name), value) for name, value in values.items() if "\n" not in value),
        alert=known.alert,
        state=ACTIONS.get(str(event.get("event_action")), ""),
        severity=known.severity,
        links=tuple((str(link.get("text") or "Link"), str(link.get("href"))) for link in links),
        dedup_key=dedup_key,
        raw=json.dumps({**event, "routing_key": "…"}, indent=1)[:MAX_RAW],
    )


@dataclass
class Incident:
    """What happened under one dedup key from its trigger on."""

    first: Message
    last: Message
    events: int = 1

    @property
    def is_open(self) -> bool:
        """Whether nothing resolved it."""
        return self.last.state != "resolved"


def incidents(messages: Iterable[Message]) -> list[Incident]:
    """Pair events by dedup key, newest incident first; what follows a resolve is a new incident."""
    found: list[Incident] = []
    opened: dict[str, Incident] = {}
    for message in messages:
        incident = opened.get(message.dedup_key)
        if incident:
            incident.last, incident.events = message, incident.events + 1
            if not incident.is_open:
                del opened[message.dedup_key]
        elif message.state == "firing":
            opened[message.dedup_key] = Incident(message, message)
            found.append(opened[message.dedup_key])
    return found[::-1]


def _list(found: Any) -> list[Any]:
    """Return a list as it is, nothing for nothing, and one impossible item for what should have been a list."""
    return found if isinstance(found, list) else [None] if found else []
