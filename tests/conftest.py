"""How the tests are shared out among workers (`make test`); each file goes to one, in the order of this collection."""

from pathlib import Path

import pytest

LONGEST = Path(__file__).parent / "e2e"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what waits longest, so that the other workers fill the time and none is left with it at the end."""
    items.sort(key=lambda item: LONGEST not in item.path.parents)
