"""The dashboard link opens a board, a panel and variables that exist."""

from collections.abc import Iterator

from contract.config import Finding
from rules.facts import Facts
from rules.policy import Policy


def check(policy: Policy, facts: Facts) -> Iterator[Finding]:
    """Find links that lead nowhere."""
    link = policy.terms.dashboard
    board = facts.boards.get(link.uid)
    if board is None:
        mend = f"there are {', '.join(sorted(facts.boards))}"
        yield Finding(("dashboard", "uid"), f"no dashboard {link.uid}", mend)
        return
    if link.panel is not None and link.panel not in board.panels:
        yield Finding(("dashboard", "panel"), f"{link.uid} has no panel {link.panel}", "look its id up in the board")
    for index, label in enumerate(link.labels):
        if label not in board.variables:
            mend = f"it has {', '.join(sorted(board.variables))}"
            yield Finding(("dashboard", "labels", index), f"{link.uid} has no variable {label}", mend)
