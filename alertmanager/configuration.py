"""The whole alertmanager.yml, put together from policies and receivers."""

from pathlib import Path
from typing import Any

from alertmanager import integrations, receivers, routing
from alertmanager.desk_routing import DESK
from alertmanager.pace import NOBODY
from alertmanager.receivers import Receivers
from contract.config import Finding, load
from rules.escalation import Escalations
from rules.pack import Pack


def read(file: Path, secrets: Path | None) -> Receivers:
    """Read the receivers, and look for their secrets where a folder is given; raises ConfigError."""

    def check(read: Receivers) -> list[Finding]:
        found = receivers.check_secrets(read, secrets) if secrets else ()
        return [*receivers.check(read), *found]

    return load(file, Receivers, check).config


def render(pack: Pack, who: Receivers, escalations: Escalations) -> dict[str, Any]:
    """Return the configuration; every channel that a policy or a stage names must be among the receivers."""
    return {
        "global": {"resolve_timeout": "5m", **(integrations.smtp(who.smtp) if who.smtp else {})},
        "templates": ["templates/*.tmpl"],
        **({"time_intervals": intervals} if (intervals := routing.time_intervals(who)) else {}),
        "route": routing.route(pack, who, escalations),
        "inhibit_rules": list(routing.inhibitions(pack)),
        "receivers": [
            {"name": NOBODY},
            *(integrations.receiver(name, channel) for name, channel in who.channels.items()),
            *([{"name": DESK, "webhook_configs": [integrations.desk(who.incident_desk)]}] if who.incident_desk else []),
        ],
    }
