"""What a person sees at the end of `make up`: every address, and what to try next."""

import os
from collections.abc import Mapping

from contract.ports import port

PAGES = (
    ("Dashboards (Grafana)", "grafana", "/"),
    ("Status page", "exporter", "/"),
    ("System health (JSON)", "exporter", "/health"),
    ("Prometheus", "prometheus", "/"),
    ("Alertmanager", "alertmanager", "/"),
    ("Incidents: acknowledge, history", "incident_desk", "/"),
    ("Messages that people would get", "sink", "/"),
    ("Sidecar in front of the agents", "sidecar", "/.well-known/oauth-protected-resource"),
    ("Sidecar metrics", "sidecar_admin", "/metrics"),
    ("Demo identity provider", "idp", "/.well-known/openid-configuration"),
    ("Demo workflow engine", "engine", "/workflows"),
    ("Demo faults", "demo_control", "/faults"),
    ("Machine metrics", "node_exporter", "/metrics"),
)
NEXT = (
    (
        "make demo-break FAULT=agent-down",
        "an agent stops; AgentDown reaches Slack, PagerDuty and e-mail in 2½ minutes",
    ),
    ("make demo-break FAULT=bad-tokens", "a flood of bad tokens; the security team is told too"),
    ("make demo-heal", "mend it; resolved messages follow"),
    ("make down", "stop everything"),
)
FIRST = "Alert rules are evaluated for the first time within a minute of a start; dashboards say so until then."


def summary(without: frozenset[str] = frozenset(), environ: Mapping[str, str] = os.environ) -> str:
    """Return the addresses (but for endpoints that do not run) and the next steps, as lines."""
    pages = [(title, name, path) for title, name, path in PAGES if name not in without]
    lines = [f"  {title:<32} http://localhost:{port(name, environ)}{path}" for title, name, path in pages]
    steps = [f"  {command:<35} {what}" for command, what in NEXT]
    return "\n".join(["", "Everything is up:", *lines, "", FIRST, "", "What to try next:", *steps])


if __name__ == "__main__":
    print(summary())
