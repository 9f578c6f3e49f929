"""The mutation run: a policy changed behind its tests' back turns them red; survivors are listed, with a reason."""

from pathlib import Path

from rules import links, pack
from tests.rules.mutants import mutants, survivors

PACK = pack.read(Path("rules/policies"))
LINKS = links.read(Path("rules/links.yaml"))
WANTED = 0.95
SURVIVORS = {
    "workflow_failure: [5m] → [15m] at 184": "the same rule: this window is multiplied by 0 and only carries labels",
}


def test_at_least_95_of_100_mutants_are_killed_and_every_survivor_has_a_reason(tmp_path: Path) -> None:
    candidates = [mutant for policy in PACK for mutant in mutants(policy, LINKS)]
    alive = {str(mutant) for mutant in survivors(candidates, LINKS, tmp_path)}
    assert alive == set(SURVIVORS)
    assert 1 - len(alive) / len(candidates) >= WANTED
