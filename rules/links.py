"""Where runbooks and dashboards are read by a person; printed into every alert."""

from collections.abc import Callable
from pathlib import Path

from contract.config import Model, load
from contract.fields import HttpUrl
from rules import conventions
from rules.policy import Policy


class Links(Model):
    """Addresses as a person's browser reaches them."""

    runbooks: HttpUrl
    dashboards: HttpUrl
    incidents: HttpUrl | None = None
    """The incident desk, where people acknowledge."""

    def annotations(self, policy: Policy, value: Callable[[str], str]) -> dict[str, str]:
        """Return the links of an alert; `value` gives the value of a label, or the template that will."""
        board = policy.terms.dashboard
        return {
            "runbook_url": conventions.runbook_url(self.runbooks, policy.name),
            "dashboard_url": conventions.dashboard_url(self.dashboards, board.uid, board.panel, board.labels, value),
            **({"acknowledge_url": conventions.acknowledge_url(self.incidents)} if self.incidents else {}),
        }


def read(file: Path) -> Links:
    """Read the links; raises ConfigError."""
    return load(file, Links).config
