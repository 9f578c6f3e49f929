"""Workflow statistics: read strictly, mapped from other JSON, rendered as Prometheus has them."""

import json
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from contract.instruments import Instruments
from contract.metrics import CATALOGUE
from contract.vocabulary import RunOutcome
from exporter.config import WorkflowSource
from exporter.exchange import HttpClient
from exporter.workflows import document, mapping, source
from exporter.workflows.document import Statistics
from exporter.workflows.readings import Readings
from tests.exporter.servers import DISCOVERED, always, http, rpc_result, serving
from tests.exporter.test_fleet import Clock, samples

DOCUMENT: dict[str, Any] = {
    "version": 1,
    "workflows": [
        {
            "name": "pipeline_step",
            "runs": {"completed": 41, "failed": 2, "cancelled": 0, "timed_out": 1, "max_iterations": 1, "rejected": 0},
            "in_progress": {"plan": 2, "implementation": 1},
            "queue": {"depth": 3, "oldest_seconds": 41.0},
            "duration_seconds": {"sum": 9120.4, "count": 45, "buckets": {"60": 3, "300": 30, "1800": 45}},
            "steps": {
                "plan_validation": {
                    "failed": 2,
                    "duration_seconds": {"sum": 300.0, "count": 50, "buckets": {"10": 40, "60": 50}},
                }
            },
            "iterations": {"sum": 80, "count": 45, "buckets": {"1": 20, "2": 35, "5": 45}},
            "human": {"approval": {"pending": 1, "oldest_seconds": 900.0}},
            "last_success_timestamp": 1763640000.0,
        }
    ],
}
WORKFLOW = DOCUMENT["workflows"][0]


def changed(path: str, value: object) -> bytes:
    """Return the document with one place changed; `path` starts within the first workflow."""
    copy = deepcopy(DOCUMENT)
    *steps, last = path.split(".")
    place = copy["workflows"][0]
    for step in steps:
        place = place[step]
    place[last] = value
    return json.dumps(copy).encode()


def test_document_of_the_design_is_read_whole() -> None:
    (workflow,) = document.read(json.dumps(DOCUMENT)).workflows
    assert workflow.runs[RunOutcome.COMPLETED] == 41
    assert workflow.duration_seconds.by_bound == {60: 3, 300: 30, 1800: 45}
    assert workflow.steps["plan_validation"].failed == 2


def test_smallest_document_is_read() -> None:
    assert document.read('{"version": 1, "workflows": []}').workflows == []
    assert document.read('{"version": 1, "workflows": [{"name": "x", "new_key": 1}]}').workflows[0].runs == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "not JSON"),
        (b"[]", "not a statistics document"),
        (b"{}", "version: Field required"),
        (b'{"version": 2, "workflows": []}', "version"),
        (b'{"version": 1}', "workflows: Field required"),
        (changed("runs", {"completed": -1}), "runs.completed"),
        (changed("runs", {"completed": "41"}), "runs.completed"),
        (changed("runs", {"completed": True}), "runs.completed"),
        (changed("runs", {"completed": 1e308, "failed": 1e308}), "runs.completed"),
        (changed("runs", {"done": 1}), "runs.done"),
        (changed("queue.depth", None), "queue.depth"),
        (changed("name", ""), "name"),
        (changed("name", "a\nb"), "name"),
        (changed("name", "x" * 200), "name"),
        (changed("name", "\U0001f4a5" * 63), "252 bytes are too long for a label"),
        (changed("in_progress", {"\u20ac" * 84: 1}), "252 bytes"),
        (changed("steps", {"\u20ac" * 84: {}}), "252 bytes"),
        (changed("duration_seconds.buckets", {"60": 3, "300": 2}), "cumulative"),
        (changed("duration_seconds.buckets", {"60": 46}), "cumulative"),
        (changed("duration_seconds.buckets", {"soon": 1}), "'soon' is not a number"),
        (changed("duration_seconds.buckets", {"inf": 1}), "'inf' is not a number"),
        (changed("duration_seconds.buckets", {"60": 1, "60.0": 1}), "same bound"),
        (changed("human", {"lunch": {}}), "human.lunch"),
        (changed("last_success_timestamp", "today"), "last_success_timestamp"),
        (json.dumps({"version": 1, "workflows": [WORKFLOW, WORKFLOW]}).encode(), "named twice: pipeline_step"),
        (b'{"version": 1, "workflows": [{"name": "x", "runs": {"failed": 1e999}}]}', "."),
    ],
)
def test_anything_else_is_refused_with_its_place(text: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        document.read(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (json.dumps({"version": 1, "workflows": [{"name": f"w{n}"} for n in range(10_000)]}).encode(), "at most 500"),
        (changed("steps", {f"step-{n}": {} for n in range(65)}), "at most 64"),
        (changed("in_progress", {f"phase-{n}": 1 for n in range(65)}), "at most 64"),
        (changed("iterations", {"count": 65, "buckets": {str(n): n for n in range(65)}}), "at most 64"),
    ],
)
def test_document_larger_than_any_engine_needs_is_refused(text: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        document.read(text)
    assert len(str(caught.value)) < 1000


def test_largest_document_is_read_without_delay() -> None:
    buckets = {"sum": 1, "count": 64, "buckets": {str(n): n for n in range(64)}}
    workflows = [{"name": f"w{n}", "iterations": buckets, "duration_seconds": buckets} for n in range(500)]
    started = time.process_time()
    assert len(document.read(json.dumps({"version": 1, "workflows": workflows})).workflows) == 500
    assert time.process_time() - started < 2


def test_problem_of_a_document_is_told_shortly() -> None:
    with pytest.raises(ValueError, match="not a statistics document") as caught:
        document.read(changed("in_progress", {"x" * 100_000: 1}))
    assert len(str(caught.value)) <= document.MAX_PROBLEM_LENGTH


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def readings(instruments: Instruments, clock: Clock) -> Readings:
    made = Readings(instruments, clock)
    configure(made, "engine")
    return made


def configure(readings: Readings, *names: str, cap: int = 500, window: float = 600) -> None:
    sources = {name: WorkflowSource(name=name, url="http://e") for name in names}
    readings.configure(sources, window, cap)


def statistics(**changes: object) -> Statistics:
    return document.read_value({"version": 1, "workflows": [{**WORKFLOW, **changes}]})


def test_source_never_read_is_down_and_has_no_workflows(readings: Readings) -> None:
    found = samples(readings.exposition())
    assert found == {"mcp_workflow_source_up": {("engine",): 0}}
    assert readings.window() == {"engine": None}


def test_reading_becomes_series(readings: Readings) -> None:
    readings.record("engine", statistics())
    found, own = samples(readings.exposition()), ("pipeline_step",)
    assert found["mcp_workflow_source_up"] == {("engine",): 1}
    assert found["mcp_workflow_runs_total"] == {(*own, outcome): count for outcome, count in WORKFLOW["runs"].items()}
    assert found["mcp_workflow_runs_in_progress"] == {(*own, "plan"): 2, (*own, "implementation"): 1}
    assert found["mcp_workflow_queue_depth"] == {own: 3}
    assert found["mcp_workflow_queue_oldest_seconds"] == {own: 41}
    assert found["mcp_workflow_step_failures_total"] == {(*own, "plan_validation"): 2}
    assert found["mcp_workflow_human_oldest_wait_seconds"][(*own, "approval")] == 900
    assert found["mcp_workflow_last_success_timestamp_seconds"] == {own: 1763640000}


def test_histogram_is_cumulative_and_ends_with_infinity(readings: Readings) -> None:
    readings.record("engine", statistics())
    text = readings.exposition().decode().splitlines()
    assert [line for line in text if line.startswith("mcp_workflow_run_duration_seconds")] == [
        'mcp_workflow_run_duration_seconds_bucket{workflow="pipeline_step",le="60.0"} 3',
        'mcp_workflow_run_duration_seconds_bucket{workflow="pipeline_step",le="300.0"} 30',
        'mcp_workflow_run_duration_seconds_bucket{workflow="pipeline_step",le="1800.0"} 45',
        'mcp_workflow_run_duration_seconds_bucket{workflow="pipeline_step",le="+Inf"} 45',
        'mcp_workflow_run_duration_seconds_sum{workflow="pipeline_step"} 9120.4',
        'mcp_workflow_run_duration_seconds_count{workflow="pipeline_step"} 45',
    ]


def test_buckets_are_ordered_by_number_not_by_text(readings: Readings) -> None:
    readings.record("engine", statistics(iterations={"sum": 9, "count": 3, "buckets": {"10": 3, "2": 1}}))
    text = readings.exposition().decode()
    assert text.index('mcp_workflow_iterations_bucket{workflow="pipeline_step",le="2.0"} 1') < text.index(
        'le="10.0"} 3'
    )


def test_what_is_not_told_yet_stands_at_zero(readings: Readings) -> None:
    readings.record("engine", document.read('{"version": 1, "workflows": [{"name": "x"}]}'))
    found = samples(readings.exposition())
    assert found["mcp_workflow_runs_total"] == {("x", outcome): 0 for outcome in RunOutcome}
    assert found["mcp_workflow_human_pending"] == {("x", kind): 0 for kind in ("approval", "feedback", "clarification")}
    assert len(found["mcp_workflow_run_duration_seconds_bucket"]) == 13, "the catalogue's buckets and +Inf, all empty"
    assert "mcp_workflow_last_success_timestamp_seconds" not in found


def test_bad_reading_keeps_the_last_good_one(readings: Readings) -> None:
    readings.record("engine", statistics())
    readings.record("engine", "not JSON")
    found = samples(readings.exposition())
    assert found["mcp_workflow_source_up"] == {("engine",): 0}
    assert found["mcp_workflow_runs_total"][("pipeline_step", "completed")] == 41
    assert readings.window() == {"pipeline_step": None}, "known, but not current"


def test_workflow_that_is_no_longer_told_leaves_no_series(readings: Readings) -> None:
    readings.record("engine", statistics())
    readings.record("engine", document.read('{"version": 1, "workflows": []}'))
    assert "mcp_workflow_runs_total" not in samples(readings.exposition())


def test_two_sources_of_one_workflow_do_not_break_the_scrape(readings: Readings) -> None:
    configure(readings, "engine", "other")
    readings.record("engine", statistics())
    readings.record("other", statistics(runs={"completed": 1}))
    assert samples(readings.exposition())["mcp_workflow_runs_total"][("pipeline_step", "completed")] == 41


def test_series_beyond_the_cap_are_dropped_and_counted(readings: Readings, instruments: Instruments) -> None:
    configure(readings, "engine", cap=3)
    readings.record("engine", statistics(in_progress={f"phase-{number}": 1 for number in range(5)}))
    assert len(samples(readings.exposition())["mcp_workflow_runs_in_progress"]) == 3
    labels = {"service": "exporter", "metric": "mcp_workflow_runs_in_progress"}
    assert instruments.registry.get_sample_value("mcp_series_dropped_total", labels) == 2


def test_every_workflow_metric_of_the_catalogue_is_rendered(readings: Readings) -> None:
    readings.record("engine", statistics())
    text = readings.exposition().decode()
    for name in CATALOGUE:
        if name.startswith("mcp_workflow_"):
            assert f"# TYPE {name} {CATALOGUE[name].kind}\n" in text


def test_window_without_history_counts_all_the_engine_knows(readings: Readings) -> None:
    readings.record("engine", statistics(runs={"completed": 40, "failed": 2}))
    (counts,) = readings.window().values()
    assert counts is not None
    assert (counts[RunOutcome.COMPLETED], counts[RunOutcome.FAILED]) == (40, 2)


def test_window_counts_only_what_ended_within_it(readings: Readings, clock: Clock) -> None:
    for completed in (100, 110, 120, 125):
        readings.record("engine", statistics(runs={"completed": completed}))
        clock.now += 300
    (counts,) = readings.window().values()
    assert counts is not None
    assert counts[RunOutcome.COMPLETED] == 15


def test_restarted_engine_is_an_ordinary_counter_reset(readings: Readings, clock: Clock) -> None:
    configure(readings, "engine", window=60)
    for completed in (100, 100, 110, 5, 8):
        readings.record("engine", statistics(runs={"completed": completed}))
        clock.now += 20
    (counts,) = readings.window().values()
    assert counts is not None
    assert counts[RunOutcome.COMPLETED] == 18, "10 before the restart, 5 and 3 after it"
    assert samples(readings.exposition())["mcp_workflow_runs_total"][("pipeline_step", "completed")] == 8


def test_reload_keeps_the_readings_of_unchanged_sources(readings: Readings) -> None:
    readings.record("engine", statistics())
    configure(readings, "engine", "second")
    assert samples(readings.exposition())["mcp_workflow_source_up"] == {("engine",): 1, ("second",): 0}
    configure(readings, "second")
    readings.record("engine", statistics())
    assert "mcp_workflow_runs_total" not in samples(readings.exposition())


OTHER = {
    "pipelines": [
        {
            "id": "nightly",
            "stats": {"ok": 5, "bad": 1},
            "active": 2,
            "timing": {"total": 50.5, "n": 6, "le": {"10": 4, "60": 6}},
            "stages": [{"id": "build", "errors": 1}],
            "waiting": [],
        }
    ]
}
MAPPED = {
    "name": "etl",
    "url": "http://e",
    "kind": "jmespath",
    "workflows": "pipelines",
    "mapping": {
        "name": "id",
        "runs": {"completed": "stats.ok", "failed": "stats.bad", "timed_out": "stats.late"},
        "in_progress": {"all": "active"},
        "queue": {"depth": "length(waiting)"},
        "duration_seconds": {"sum": "timing.total", "count": "timing.n", "buckets": "timing.le"},
        "iterations": {"sum": "`0`", "count": "`0`", "buckets": {"1": "`0`"}},
        "last_success_timestamp": "finished",
    },
}


def mapped(body: object, **changes: str) -> Statistics:
    chosen = WorkflowSource.model_validate({**MAPPED, **changes})
    assert chosen.workflows is not None
    assert chosen.mapping is not None
    return mapping.read(json.dumps(body).encode(), chosen.workflows, chosen.mapping)


def test_other_json_is_mapped_by_expressions() -> None:
    (workflow,) = mapped(OTHER).workflows
    assert workflow.name == "nightly"
    assert workflow.runs == {"completed": 5, "failed": 1}, "what is not there is left out"
    assert (workflow.in_progress, workflow.queue.depth) == ({"all": 2}, 0)
    assert workflow.duration_seconds.by_bound == {10: 4, 60: 6}
    assert workflow.last_success_timestamp is None


@pytest.mark.parametrize(
    ("body", "changes", "why"),
    [
        ({}, {}, "'pipelines' finds NoneType where a list of workflows should be"),
        ({"pipelines": [{"waiting": []}]}, {}, "workflows.0.name"),
        ({"pipelines": [{"id": "x"}]}, {}, "length"),
        ([], {"workflows": "abs(@)"}, "abs"),
    ],
)
def test_json_that_does_not_fit_the_mapping_is_refused(body: object, changes: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        mapped(body, **changes)


async def read(session: aiohttp.ClientSession, url: str, **more: object) -> Statistics | str:
    chosen = WorkflowSource.model_validate({"name": "engine", "url": url, "timeout": "500ms", **more})
    return await source.read(chosen, HttpClient(session, url))


async def test_document_is_read_over_http(session: aiohttp.ClientSession) -> None:
    async with serving(always(http(200, json.dumps(DOCUMENT)))) as url:
        told = await read(session, f"{url}/workflows")
    assert isinstance(told, Statistics)
    assert told.workflows[0].name == "pipeline_step"


async def test_other_json_is_read_over_http(session: aiohttp.ClientSession) -> None:
    async with serving(always(http(200, json.dumps(OTHER)))) as url:
        told = await read(session, url, **{key: value for key, value in MAPPED.items() if key not in ("name", "url")})
    assert isinstance(told, Statistics)
    assert told.workflows[0].runs[RunOutcome.FAILED] == 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (http(200, "garbage"), "not JSON"),
        (http(200, "{}"), "not a statistics document"),
        (http(500), "http_error"),
        (http(302, location="/"), "http_error: status 302"),
        (http(401), "auth_error"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n", "timeout: no complete answer within 0.5s"),
    ],
)
async def test_source_that_cannot_be_read_says_why(session: aiohttp.ClientSession, answer: bytes, why: str) -> None:
    async with serving(always(answer)) as url:
        told = await read(session, url)
    assert isinstance(told, str)
    assert why in told


@pytest.mark.parametrize("fixture", ["modern_url", "legacy_url", "stateless_url"])
async def test_document_is_read_as_an_mcp_resource(
    session: aiohttp.ClientSession, request: pytest.FixtureRequest, fixture: str
) -> None:
    url = request.getfixturevalue(fixture)
    told = await read(session, url, kind="mcp_resource", resource="workflow://statistics", timeout="5s")
    assert isinstance(told, Statistics), told
    assert told.workflows[0].runs == {"completed": 7}


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (http(404), "http_error"),
        (http(200, rpc_result({**DISCOVERED, "contents": []})), "resource a://b has no text"),
        (http(200, rpc_result({**DISCOVERED, "contents": [{"blob": "eA=="}]})), "resource a://b has no text"),
        (http(200, rpc_result({**DISCOVERED, "contents": [{"text": "{}"}]})), "not a statistics document"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n", "timeout: no complete answer within 0.5s"),
    ],
)
async def test_resource_that_is_no_document_says_why(session: aiohttp.ClientSession, reply: bytes, why: str) -> None:
    async with serving(always(reply)) as url:
        found = await read(session, url, kind="mcp_resource", resource="a://b")
    assert isinstance(found, str)
    assert why in found


@pytest.mark.parametrize("fixture", ["modern_url", "legacy_url"])
async def test_resource_that_is_not_there_says_so(
    session: aiohttp.ClientSession, request: pytest.FixtureRequest, fixture: str
) -> None:
    url = request.getfixturevalue(fixture)
    told = await read(session, url, kind="mcp_resource", resource="no://such", timeout="5s")
    assert isinstance(told, str)
    assert told.startswith("protocol_error: resources/read: error")


def test_example_document_of_the_demo_engine_has_the_shape_we_read() -> None:
    sources = Path("demo/engine/statistics.py").read_text(encoding="utf-8")
    for key in WORKFLOW:
        assert key in sources, f"the demo engine does not tell {key}"
