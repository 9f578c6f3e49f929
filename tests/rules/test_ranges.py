"""What values an expression can have is known where it follows from its metrics, and wide where it does not."""

import math
from pathlib import Path

import pytest

from rules import facts, known_metrics, lint, pack, promql, ranges, slos
from rules.interval import Interval

METRICS = known_metrics.read(Path("rules/metrics.yaml"), Path("rules/prometheus.yml"))
INFINITE = math.inf


@pytest.mark.parametrize(
    ("expression", "low", "high", "is_whole"),
    [
        ("mcp_agent_up", 0, 1, True),
        ("up", 0, 1, True),
        ("mcp_build_info", 1, 1, True),
        ("mcp_system_health_score / 100", 0, 1, False),
        ("1 - mcp_system_health_score / 100", 0, 1, False),
        ("avg by (agent_type) (mcp_agent_up)", 0, 1, False),
        ("sum(mcp_agent_up)", 0, INFINITE, True),
        ("sum(-mcp_agent_up)", -INFINITE, 0, True),
        ("count(mcp_agent_up)", 1, INFINITE, True),
        ("topk(3, mcp_agent_up)", 0, 1, True),
        ("quantile(0.5, mcp_agent_up)", 0, 1, False),
        ("floor(sum(increase(mcp_auth_lockouts_total[5m])))", 0, INFINITE, True),
        ("max_over_time((mcp_agent_up == 0)[1h:1m])", 0, 1, True),
        ("changes(mcp_agent_up[5m])", 0, INFINITE, True),
        ("deriv(mcp_workflow_queue_depth[5m])", -INFINITE, INFINITE, False),
        ("clamp_min(mcp_workflow_queue_depth, 3)", 3, INFINITE, False),
        ("clamp_max(mcp_workflow_queue_depth, 3)", 0, 3, False),
        ("clamp(mcp_workflow_queue_depth, 2, 3)", 2, 3, False),
        ("mcp_agent_up - mcp_agent_up", -1, 1, True),
        ("0 * mcp_workflow_queue_depth", 0, 0, True),
        ("mcp_workflow_queue_depth or vector(-1)", -1, INFINITE, True),
        ("mcp_workflow_queue_depth > bool 3", 0, 1, True),
        ("3 < mcp_agent_up", 0, 1, True),
        ("mcp_workflow_queue_depth % 2", -INFINITE, INFINITE, False),
        ("absent(mcp_agent_up)", 1, 1, True),
        ("abs(node_memory_MemTotal_bytes)", 0, INFINITE, False),
        ("unknown_metric", -INFINITE, INFINITE, False),
        ("histogram_quantile(0.9, rate(mcp_agent_probe_latency_seconds_bucket[5m]))", 0, 300, False),
    ],
)
def test_values_lie_in_an_interval(expression: str, low: float, high: float, is_whole: bool) -> None:
    assert ranges.of(promql.parse(expression), METRICS) == Interval(low, high, is_whole)


@pytest.mark.parametrize(
    ("interval", "comparison", "can_be", "must_be"),
    [
        (Interval(0, 1, is_whole=True), (">", 0.5), True, False),
        (Interval(0, 1, is_whole=True), ("==", 0.5), False, False),
        (Interval(0, 1, is_whole=True), ("!=", 0.5), True, True),
        (Interval(0, 1), ("==", 0.5), True, False),
        (Interval(0), (">=", 0), True, True),
        (Interval(0), ("<", 0), False, False),
        (Interval(), (">", INFINITE), False, False),
        (Interval(), ("<", 5), True, False),
        (Interval(), (">", math.nan), False, False),
        (Interval(1, 1), ("==", 1), True, True),
    ],
)
def test_a_limit_divides_an_interval(
    interval: Interval, comparison: tuple[str, float], can_be: bool, must_be: bool
) -> None:
    assert (interval.can_be(*comparison), interval.must_be(*comparison)) == (can_be, must_be)


GOOD = """
mcp_agent_up == 0 and on (agent) mcp_agent_tools > 5
mcp_agent_up == 0 unless on (agent_type) mcp_agents_healthy == 0
mcp_agents_healthy / mcp_agents_configured < 0.5
mcp_agents_healthy < mcp_agents_configured
count(mcp_agent_up == 0) >= 1
mcp_agent_up != 1
absent(mcp_agent_up{job="exporter"})
time() - process_start_time_seconds < 300
mcp_agent_up{agent=~"planner-.+", agent!~".*-test"} == 0
mcp_agent_up * on (agent, agent_type, instance, job) group_left (server_version) mcp_agent_info == 0
mcp_workflow_queue_depth > 10 and mcp_workflow_queue_depth offset 10m > 10
mcp_workflow_queue_depth > 10 unless mcp_workflow_queue_depth > 100
mcp_workflow_queue_depth < 3 or mcp_workflow_queue_depth > 50
(sum(mcp_agent_up) or vector(0)) < 1
sum(mcp_agents_healthy) > 5 and on () hour() >= 8
topk(3, mcp_workflow_queue_depth) > 5
mcp_workflow_queue_depth > scalar(sum(mcp_agents_healthy))
100 < mcp_workflow_queue_depth
max_over_time(sum(increase(mcp_auth_lockouts_total[5m]))[1h:1m]) > 0
label_replace(mcp_agent_up, "host", "$1", "agent", "(.*)-.*") == 0
(mcp_agent_up == 0 or mcp_workflow_source_up == 0) and mcp_agent_up < 1
count(mcp_agent_up == 0) > 0 and label_replace(sum(mcp_agents_healthy) < 3, "x", "$1", "job", "(.*)")
mcp_agent_up * on (agent) group_left (era) mcp_agent_info == 0 and on (era) mcp_agent_info
mcp_workflow_human_pending{kind="approval"} > 3 and ignoring (kind) mcp_workflow_human_pending{kind="feedback"} > 3
"""


@pytest.mark.parametrize("expression", GOOD.strip().splitlines())
def test_good_conditions_are_not_blamed(expression: str, tmp_path: Path) -> None:
    text = Path("tests/rules/planted/value_alone.yaml").read_text()
    head, _, tail = text.partition("raw: ")
    (tmp_path / "mine.yaml").write_text(f"{head}raw: >-\n          {expression}\n{tail.partition(chr(10))[2]}")
    known = facts.gather(pack.read(tmp_path), Path(), slos.read(Path("rules/slos.yaml")))
    assert [str(problem) for problem in lint.problems(known)] == []
