"""The catalogue keeps Prometheus' naming rules, and instruments keep to the catalogue."""

import re

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from contract.instruments import Instruments, SeriesBudget, closed_label_sets
from contract.metric import Kind, Metric
from contract.metrics import CATALOGUE


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.mark.parametrize("metric", CATALOGUE.values(), ids=lambda metric: metric.name)
def test_names_follow_the_conventions(metric: Metric) -> None:
    assert re.fullmatch(r"mcp_[a-z0-9_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert not re.search(r"_(ms|milliseconds|minutes|percent)(_|$)", metric.name)
    assert metric.help.endswith(".")
    assert metric.help[0].isupper()
    assert metric.services
    assert (metric.kind is Kind.HISTOGRAM) == bool(metric.buckets)
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert set(metric.values) <= set(metric.labels)


@pytest.mark.parametrize("metric", CATALOGUE.values(), ids=lambda metric: metric.name)
def test_no_label_is_unbounded_by_nature(metric: Metric) -> None:
    forbidden = {
        "id",
        "run_id",
        "session_id",
        "user",
        "subject",
        "email",
        "path",
        "url",
        "le",
        "quantile",
        "job",
        "instance",
    }
    assert not forbidden & set(metric.labels)


def test_the_unit_is_read_off_the_name() -> None:
    assert CATALOGUE["mcp_agent_probe_duration_seconds"].unit == "seconds"
    assert CATALOGUE["mcp_agent_last_probe_timestamp_seconds"].unit == "timestamp_seconds"
    assert CATALOGUE["mcp_agent_probes_total"].unit == ""


@pytest.mark.parametrize("metric", CATALOGUE.values(), ids=lambda metric: metric.name)
def test_the_bounds_are_those_that_the_help_tells(metric: Metric) -> None:
    assert (metric.bounds == (0, 1)) == metric.help.startswith("Whether")
    assert (metric.bounds == (1, 1)) == ("always 1" in metric.help)
    assert (metric.bounds == (0, 100)) == ("0 to 100" in metric.help)
    assert metric.bounds[0] >= 0


def test_counts_and_flags_are_whole_and_times_and_scores_are_not() -> None:
    whole = [CATALOGUE[name].is_whole for name in ("mcp_agent_up", "mcp_workflow_queue_depth", "mcp_build_info")]
    parts = [CATALOGUE[name].is_whole for name in ("mcp_workflow_queue_oldest_seconds", "mcp_system_health_score")]
    assert (whole, parts) == ([True] * 3, [False] * 2)


def test_known_label_values_start_at_zero(registry: CollectorRegistry) -> None:
    Instruments(registry, "sidecar", known={"role": ("none",)}).counter("mcp_auth_authentications_total")
    labels = {"result": "failure", "reason": "expired"}
    assert registry.get_sample_value("mcp_auth_authentications_total", labels) == 0


def test_a_result_and_a_reason_that_contradict_each_other_are_not_created() -> None:
    sets = closed_label_sets(CATALOGUE["mcp_auth_authentications_total"])
    assert ("success", "ok") in sets
    assert ("error", "keys_unavailable") in sets
    assert not {("success", "expired"), ("failure", "ok"), ("failure", "internal_error"), ("error", "expired")} & {
        *sets
    }


def test_values_that_only_the_configuration_knows_close_a_label() -> None:
    metric = CATALOGUE["mcp_auth_authorizations_total"]
    assert closed_label_sets(metric) == []
    assert ("deny", "no_permission", "viewer") in closed_label_sets(metric, {"role": ("viewer",)})


def test_an_instrument_of_the_wrong_kind_or_service_is_refused(registry: CollectorRegistry) -> None:
    instruments = Instruments(registry, "sidecar")
    with pytest.raises(ValueError, match="is a gauge of exporter"):
        instruments.gauge("mcp_agent_up")
    with pytest.raises(ValueError, match="not a counter"):
        instruments.counter("mcp_audit_chain_length")


def test_label_sets_beyond_the_cap_are_dropped_and_counted(registry: CollectorRegistry) -> None:
    instruments = Instruments(registry, "sidecar", cap=2)
    for control in ("a", "b", "c", "c", "a"):
        instruments.child("mcp_auth_fail_open_total", control).inc()
    assert registry.get_sample_value("mcp_auth_fail_open_total", {"control": "a"}) == 2
    assert registry.get_sample_value("mcp_auth_fail_open_total", {"control": "c"}) is None
    dropped = {"service": "sidecar", "metric": "mcp_auth_fail_open_total"}
    assert registry.get_sample_value("mcp_series_dropped_total", dropped) == 2


def test_a_budget_admits_again_what_it_has_admitted(registry: CollectorRegistry) -> None:
    budget = SeriesBudget(Instruments(registry, "exporter").counter("mcp_series_dropped_total"), "exporter", cap=1)
    assert [budget.admit("m", (name,)) for name in "aba"] == [True, False, True]


@pytest.mark.parametrize("service", ["exporter", "sidecar", "incident_desk"])
def test_all_metrics_of_a_service_are_exposed_under_their_own_names(registry: CollectorRegistry, service: str) -> None:
    instruments = Instruments(registry, service)
    mine = [metric for metric in CATALOGUE.values() if service in metric.services]
    for metric in mine:
        getattr(instruments, metric.kind.value)(metric.name)
    text = generate_latest(registry).decode()
    assert {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")} == {m.name for m in mine}
    assert "_created" not in text
