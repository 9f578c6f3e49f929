"""The mutation run: a policy changed behind its tests' back turns them red; survivors are listed, with a reason.

By default every mutant of the seeds' policies and a part of the others; all of them with LOOKOUT_MUTATIONS=all.
"""

import os
from pathlib import Path

from rules import links, pack
from tests.rules.mutants import Mutant, mutants, survivors
from tests.rules.test_seed_policies import SEEDS

PACK = pack.read(Path("rules/policies"))
LINKS = links.read(Path("rules/links.yaml"))
WANTED = 0.95
PART = 8
"""One in so many mutants of the other policies is tried by default."""
_ROUNDING = "the ratio lies within a rounding error of the limit, on the silent side"
_EXTRAPOLATED = "one event in the window is extrapolated to slightly more than one"
SURVIVORS = {
    "audit_silent: > 0 → > 1 at 160": _EXTRAPOLATED,
    "disk_full_soon: < 0.2 → <= 0.2 at 97": "exactly a fifth left makes no difference to anybody",
    "disk_full_soon: < 0 → <= 0 at 202": "a forecast of exactly no byte",
    "disk_full_soon: < 0 → < 1 at 202": "a forecast of one byte",
    "token_cache_anomaly: > 0.9 → >= 0.9 at 123": _ROUNDING,
    "workflow_failure: [5m] → [15m] at 184": "the same rule: this window is multiplied by 0 and only carries labels",
    "workflow_iterations_high: > 0.2 → >= 0.2 at 193": _ROUNDING,
    "workflow_last_runs_failed: > 0 → > 1 at 200": _EXTRAPOLATED,
    "workflow_overdue: != 0 → != 1 at 54": "nobody succeeds at the first second of 1970",
    "workflow_step_slow: > 900 → >= 900 at 108": "an interpolated quantile is never exactly the limit",
    "workflow_stuck: > 0 → > 1 at 119": _EXTRAPOLATED,
}


def chosen() -> list[Mutant]:
    candidates = [mutant for policy in PACK for mutant in mutants(policy, LINKS)]
    if os.environ.get("LOOKOUT_MUTATIONS") == "all":
        return candidates
    seeds = [mutant for mutant in candidates if mutant.policy.name in SEEDS]
    return seeds + [mutant for mutant in candidates if mutant.policy.name not in SEEDS][::PART]


def test_at_least_95_of_100_mutants_are_killed_and_every_survivor_has_a_reason(tmp_path: Path) -> None:
    tried = chosen()
    alive = {str(mutant) for mutant in survivors(tried, LINKS, tmp_path)}
    assert alive == {name for name in SURVIVORS if name in set(map(str, tried))}
    assert 1 - len(alive) / len(tried) >= WANTED


def test_every_listed_survivor_is_still_a_mutant() -> None:
    assert set(SURVIVORS) <= {str(mutant) for policy in PACK for mutant in mutants(policy, LINKS)}
