"""How the tests are shared out among workers (`make test`): each file goes to one, in the order of this collection."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
LONGEST = (TESTS / "e2e", TESTS / "rules" / "test_mutations.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no worker is left with it at the end while the others have nothing."""
    items.sort(key=lambda item: not any(item.path.is_relative_to(place) for place in LONGEST))
