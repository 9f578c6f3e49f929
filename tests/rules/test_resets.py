"""No policy takes a restart for an event: counters that begin again, series that end, series that never were."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from contract.metric import Kind
from rules import conventions, known_metrics, pack, promql
from rules.policy import Policy
from tests.tools import tool

PACK = pack.read(Path("rules/policies"))
METRICS = known_metrics.read(Path("rules/metrics.yaml"), Path("rules/prometheus.yml"))
GENERATED = Path("rules/generated").resolve()
STORIES = {
    "counters begin again": "1000x40 0x80",
    "counters end": "1000x40 _x80",
    "counters begin again after a while": "1000x40 _x20 0x60",
}
STANDING = {"resource_exhaustion": "a counter of idle seconds that stands is a busy CPU"}
# They ask for what is not there; the Watchdog always fires.
ASKING = {"exporter_down", "incident_desk_down", "sidecar_down", "target_missing", "watchdog"}


def is_counter(series: str) -> bool:
    [use] = promql.uses(promql.parse(series))
    known = METRICS.get(use.metric)
    return known is not None and known.kind is Kind.COUNTER


def counters(policy: Policy) -> list[str]:
    """Return the counters among the series of the policy's cases."""
    return sorted({name for case in policy.terms.tests.values() for name in case.series if is_counter(name)})


def noisy(stories: dict[str, dict[str, str]], folder: Path) -> set[str]:
    """Return the policies whose alert is not silent all the time, by promtool; a story gives a policy its series."""
    for name, series in stories.items():
        alert = conventions.alert_name(name)
        silent = [{"eval_time": f"{minute}m", "alertname": alert, "exp_alerts": []} for minute in range(1, 31)]
        given = [{"series": each, "values": values} for each, values in series.items()]
        content = {
            "rule_files": [str(GENERATED / f"{name}.yaml")],
            "evaluation_interval": "15s",
            "tests": [{"interval": "15s", "input_series": given, "alert_rule_test": silent}],
        }
        (folder / f"{name}.test.yaml").write_text(yaml.safe_dump(content))
    command: list[str | Path] = [tool("promtool"), "test", "rules", *(folder / f"{name}.test.yaml" for name in stories)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    verdicts = re.findall(r"^  (SUCCESS|FAILED)", done.stdout, re.MULTILINE)
    return {name for name, verdict in zip(stories, verdicts, strict=True) if verdict == "FAILED"}


@pytest.mark.parametrize("story", STORIES)
def test_a_restart_is_no_event(tmp_path: Path, story: str) -> None:
    counting = {policy.name: dict.fromkeys(counters(policy), STORIES[story]) for policy in PACK if counters(policy)}
    assert len(counting) > 20
    assert noisy(counting, tmp_path) == set(STANDING)


def test_where_nothing_was_ever_measured_only_those_speak_that_ask_for_it(tmp_path: Path) -> None:
    assert noisy({policy.name: {} for policy in PACK}, tmp_path) == ASKING
