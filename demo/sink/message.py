"""A notification as it arrived: what it says, how bad it is, and whether the real service would have taken it."""

import re
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

CHANNELS = ("slack", "pagerduty", "email")
MAX_RAW = 64_000
"""Characters of the original that are kept."""

_TITLE = re.compile(r"\[(FIRING|RESOLVED|CRITICAL|MAJOR|MINOR|WARNING|INFO)(?::\d+)?\]\s*([\w.-]+)?", re.IGNORECASE)
_SEVERITIES = ("critical", "error", "major", "minor", "warning", "info")


@dataclass(frozen=True)
class Message:
    """One notification; everything in it is foreign text."""

    channel: str
    title: str
    text: str = ""
    to: str = ""
    """Slack channel or mail recipients."""
    alert: str = ""
    state: str = ""
    """firing, acknowledged, resolved, or empty where it does not say."""
    severity: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    """Label and value of what it says in short."""
    links: tuple[tuple[str, str], ...] = ()
    """Label and address."""
    dedup_key: str = ""
    refusal: str = ""
    """Why it was refused; empty for an accepted message."""
    html: str = ""
    raw: str = ""
    id: int = 0
    received: float = 0.0
    """Unix seconds."""

    def document(self) -> dict[str, Any]:
        """Return the message for JSON."""
        return {"accepted": not self.refusal, **asdict(self)}


def restored(document: dict[str, Any]) -> Message:
    """Return the message of a document; raises TypeError or KeyError when it is none."""
    fields = {name: value for name, value in document.items() if name != "accepted"}
    pairs: dict[str, Any] = {
        name: tuple((str(label), str(value)) for label, value in fields.pop(name)) for name in ("fields", "links")
    }
    return Message(**pairs, **fields)


class Facts(NamedTuple):
    """What a title tells."""

    alert: str
    state: str
    severity: str


def facts(title: str, severity: str = "") -> Facts:
    """Read a title in Alertmanager's usual forms: `[FIRING:1] Name`, `[MAJOR] Name: what is wrong`."""
    found = _TITLE.search(title)
    word = found[1].lower() if found else ""
    state = "resolved" if word == "resolved" else "firing" if found else ""
    told = severity.strip().lower() or word
    return Facts((found[2] or "").rstrip(".") if found else "", state, told if told in _SEVERITIES else "")
