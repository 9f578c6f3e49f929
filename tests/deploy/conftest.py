"""A runner that every test of it may use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.native.runner import Runner


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    """A runner that ends at the latest with the test."""
    made = Runner(tmp_path / "state", ready_within_seconds=20)
    yield made
    made.down()
