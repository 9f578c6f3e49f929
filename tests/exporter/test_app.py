"""The exporter's HTTP side, whole: metrics, health, probes on demand, readiness, reload."""

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from contract.metrics import CATALOGUE
from deploy.native import packages
from exporter.exchange import HttpClient
from exporter.outcome import ProbeResult
from exporter.service import YOUNG_SECONDS, Exporter
from tests.exporter.running import Running, World, result_of, running, world
from tests.exporter.servers import DISCOVERED, http, read_request, rpc_result, serving, until
from tests.exporter.test_fleet import samples
from tests.exporter.test_hostile_servers import silent
from tests.exporter.test_observations import alert
from tests.tools import tool


@pytest.fixture
async def around() -> AsyncIterator[World]:
    async with world() as made:
        yield made


@pytest.fixture
async def whole(around: World, tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path / "exporter.yaml", around.config()) as started:
        await until(lambda: settled(started.exporter))
        yield started


def settled(exporter: Exporter) -> bool:
    """Whether everything has been asked at least once."""
    known = [isinstance(value, float) for results in exporter.checks.values() for _, value in results.values()]
    sources = [reading.is_up for reading in exporter.readings.by_source.values()]
    return exporter.fleet.has_been_probed() and all(known) and all(sources) and not exporter.alerts.problem


async def eventually_health(whole: Running, **expected: Any) -> dict[str, Any]:
    """Wait until /health shows these values at its top."""
    async with asyncio.timeout(10):
        while True:
            found = await whole.health()
            if expected.items() <= found.items():
                return found
            await asyncio.sleep(0.02)


async def test_health_is_the_seeds_document(whole: Running) -> None:
    found = await whole.health()
    assert (found["overall_status"], found["health_score"], found["active_alerts"]) == ("healthy", 97.8, [])
    assert set(found["component_health"]) == {"agents", "infrastructure", "workflows", "security"}
    planner = found["component_health"]["agents"]["planner"]
    assert (planner["total_instances"], planner["healthy_instances"]) == (2, 2)
    instance = planner["instances"][0]
    assert (instance["instance_id"], instance["status"]) == ("planner-1", "healthy")
    assert 0 < instance["response_time"] < 1
    assert instance["last_check"].endswith("+00:00")
    assert found["timestamp"].endswith("+00:00")


async def test_dead_agent_degrades_the_system(whole: Running, around: World) -> None:
    around.broken.add("planner-2")
    found = await eventually_health(whole, overall_status="degraded")
    assert found["reasons"] == ["planner: 1 of 2 healthy"]
    agents = found["component_health"]["agents"]
    assert (agents["status"], agents["score"]) == ("degraded", 75)
    (down,) = [one for one in agents["planner"]["instances"] if one["status"] == "unhealthy"]
    assert (down["instance_id"], down["outcome"]) == ("planner-2", "http_error")
    around.broken.clear()
    await eventually_health(whole, overall_status="healthy")


async def test_active_alerts_but_no_heartbeat_are_shown_and_a_critical_one_degrades(
    whole: Running, around: World
) -> None:
    around.alerts = [alert("AgentDown"), alert("Quiet", state="suppressed"), alert("Watchdog", "info")]
    await until(lambda: whole.exporter.alerts.alerts)
    found = await eventually_health(whole, overall_status="degraded", active_alerts_problem=None)
    (shown,) = found["active_alerts"]
    assert (shown["name"], shown["severity"], shown["labels"]["agent"]) == ("AgentDown", "critical", "planner-2")
    assert shown["links"]["runbook"] == "http://localhost:9820/runbooks/AgentDown"


async def test_infrastructure_and_security_come_from_prometheus(whole: Running, around: World) -> None:
    around.values = {"node_cpu": "0.95", 'result="failure"': "10"}
    found = await eventually_health(whole, overall_status="unhealthy")
    parts = found["component_health"]
    assert parts["infrastructure"]["parts"]["cpu"] == {"score": 50.0, "detail": "95.0 %"}
    assert parts["infrastructure"]["score"] == 50
    assert (parts["security"]["score"], parts["security"]["status"]) == (0, "unhealthy")


async def test_unknown_is_neither_healthy_nor_zero(whole: Running, around: World) -> None:
    around.broken = {"api", "workflows"}
    await until(lambda: whole.exporter.alerts.problem and not whole.exporter.readings.by_source["engine"].is_up)
    await until(lambda: all(isinstance(v, str) for r in whole.exporter.checks.values() for _, v in r.values()))
    found = await whole.health()
    assert found["active_alerts"] is None, "not an empty list: nobody knows"
    assert found["active_alerts_problem"] == "http_error: the list of alerts is answered with status 500"
    assert (found["overall_status"], found["health_score"]) == ("degraded", 89)
    for name in ("infrastructure", "workflows", "security"):
        component = found["component_health"][name]
        assert (component["status"], component["score"]) == ("unknown", None)
    exposed = samples((await whole.text("/metrics")).encode())
    assert exposed["mcp_component_health_score"] == {("agents",): 100}


async def test_young_exporter_is_starting_until_prometheus_has_data(tmp_path: Path, around: World) -> None:
    around.broken = {"api"}
    async with running(tmp_path / "exporter.yaml", around.config(alertmanager=None)) as started:
        await until(lambda: started.exporter.fleet.has_been_probed() and started.exporter.readings.has_been_read())
        young = await started.health()
        page = await started.text("/")
        started.exporter.started_at -= YOUNG_SECONDS
        old = await started.health()
        started.exporter.started_at += YOUNG_SECONDS
        around.broken.clear()
        await eventually_health(started, overall_status="healthy", reasons=[])
        around.broken = {"api"}
        again = await eventually_health(started, overall_status="degraded")
    assert (young["overall_status"], young["component_health"]["security"]["status"]) == ("starting", "starting")
    assert young["health_score"] is None, "no number before there is a verdict"
    assert young["reasons"] == ["infrastructure: not measured yet", "security: not measured yet"]
    assert "<h1>Starting</h1>" in page
    assert "because: infrastructure not measured yet; security not measured yet</p>" in page
    assert (old["overall_status"], old["reasons"]) == ("degraded", ["infrastructure: unknown", "security: unknown"])
    assert again["reasons"], "what was known once is unknown now, however young the exporter is"


async def test_metrics_are_one_valid_exposition(whole: Running) -> None:
    status, text, headers = await whole.get("/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    found = samples(text.encode())
    assert found["mcp_system_health_score"] == {(): pytest.approx(97.8, abs=0.1)}
    assert found["mcp_component_health_score"][("agents",)] == 100
    assert found["mcp_workflow_source_up"] == {("engine",): 1}
    assert found["mcp_config_last_reload_successful"] == {("exporter",): 1}
    assert "process_resident_memory_bytes" not in found, "a test's registry has no process in it"


async def test_every_metric_of_the_catalogue_is_exposed(whole: Running) -> None:
    text = await whole.text("/metrics")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for name, metric in CATALOGUE.items():
        if "exporter" in metric.services:
            family = families[name.removesuffix("_total")]
            assert (family.type, family.documentation) == (metric.kind, metric.help)
    names = {sample.name for family in families.values() for sample in family.samples}
    assert not any(name.endswith("_created") for name in names)


async def test_metrics_are_compressed_when_that_is_wanted(whole: Running) -> None:
    async with whole.session.get(
        f"{whole.url}/metrics", headers={"Accept-Encoding": "gzip"}, auto_decompress=False
    ) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert b"mcp_agent_up" in gzip.decompress(await response.read())


async def test_known_target_is_probed_now(whole: Running, around: World) -> None:
    found = samples((await whole.text("/probe?target=planner-1")).encode())
    assert found["probe_success"] == {(): 1}
    assert found["probe_mcp_outcome"][("ok",)] == 1
    assert sum(found["probe_mcp_outcome"].values()) == 1
    assert found["probe_http_status_code"] == {(): 200}
    assert found["probe_mcp_info"] == {("modern", "2026-07-28", "small", "1"): 1}
    around.broken.add("planner-1")
    failed = samples((await whole.text("/probe?target=planner-1")).encode())
    assert (failed["probe_success"], failed["probe_http_status_code"]) == ({(): 0}, {(): 500})


@pytest.mark.parametrize("query", ["", "?target=", "?target=nobody", "?target=http://169.254.169.254/latest"])
async def test_unknown_target_is_refused(whole: Running, query: str) -> None:
    status, text, _ = await whole.get(f"/probe{query}")
    assert status == 404
    assert text == "unknown target; give the name of a configured agent\n"


async def test_debug_shows_the_exchange(whole: Running) -> None:
    text = await whole.text("/probe?target=planner-1&debug=true")
    assert "> POST " in text
    assert "> Mcp-Method: server/discover" in text
    assert "< 200" in text
    assert '"supportedVersions"' in text
    assert "Outcome: ok" in text
    assert "probe_success 1" in text


async def test_debug_shows_why_nothing_came_back(tmp_path: Path) -> None:
    agent = {"name": "gone", "type": "planner", "url": "http://127.0.0.1:1/mcp"}
    async with running(tmp_path / "exporter.yaml", {"agents": [agent]}) as started:
        text = await started.text("/probe?target=gone&debug=true")
    assert "\n! connect_error: ClientConnectorError" in text
    assert "probe_success 0" in text


async def test_debug_shows_which_step_had_no_answer_in_time(tmp_path: Path) -> None:
    async def slow_to_list(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (await read_request(reader)).rpc["method"] == "server/discover":
            writer.write(http(200, rpc_result({**DISCOVERED, "capabilities": {"tools": {}}})))
        await reader.read()

    async with serving(slow_to_list) as url:
        agent = {"name": "slow", "type": "planner", "url": url, "timeout": "300ms", "interval": "1m"}
        async with running(tmp_path / "exporter.yaml", {"agents": [agent]}) as started:
            text = await started.text("/probe?target=slow&debug=true")
    asked = text.index("> Mcp-Method: tools/list")
    assert re.search(r"^! timeout: the time was up 0\.\d+s into this step, without an answer$", text[asked:], re.M)
    assert "Outcome: degraded (the server answered, but its tools did not within 0.3s)" in text
    assert "probe_success 1\n" in text
    assert "# HELP probe_success Whether the probe found the agent healthy; degraded counts as healthy" in text


async def test_debug_shows_that_there_was_no_token(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (tmp_path / "secret").chmod(0o600)
    client = {"token_url": "http://127.0.0.1:1/token", "client_id": "a", "client_secret_file": "secret"}
    agent = {"name": "a", "type": "planner", "url": "http://127.0.0.1:1/mcp", "credentials": "own"}
    async with running(tmp_path / "exporter.yaml", {"agents": [agent], "credentials": {"own": client}}) as started:
        text = await started.text("/probe?target=a&debug=true")
    assert "\n! auth_error: no token from http://127.0.0.1:1/token" in text


@pytest.mark.parametrize(
    ("offered", "bound"), [("0.6", 0.1), ("10", 0.4), ("soon", 0.4), ("0.1", 0.4), ("nan", 0.4), ("", 0.4)]
)
async def test_scrape_timeout_bounds_the_probe(tmp_path: Path, offered: str, bound: float) -> None:
    async with serving(silent) as url:
        agent = {"name": "silent", "type": "planner", "url": url, "timeout": "400ms", "interval": "1m"}
        async with running(tmp_path / "exporter.yaml", {"agents": [agent]}) as started:
            header = {"X-Prometheus-Scrape-Timeout-Seconds": offered}
            _, text, _ = await started.get("/probe?target=silent&debug=true", **header)
    assert f"timeout (no complete answer within {bound:.3g}s)" in text


async def test_ready_after_the_first_round(tmp_path: Path, around: World) -> None:
    async with running(tmp_path / "exporter.yaml", around.config()) as started:
        before, _, _ = await started.get("/-/ready")
        healthy, _, _ = await started.get("/-/healthy")
        await until(started.exporter.fleet.has_been_probed)
        after, _, _ = await started.get("/-/ready")
    assert healthy == after == 200
    assert before in (200, 503)


async def test_exporter_without_agents_is_ready_at_once(tmp_path: Path) -> None:
    async with running(tmp_path / "exporter.yaml", {}) as started:
        status, _, _ = await started.get("/-/ready")
        found = await started.health()
    assert status == 200
    assert (found["overall_status"], found["health_score"]) == ("unknown", None)
    assert found["component_health"]["workflows"]["status"] == "not_configured"


async def test_reload_takes_new_agents_and_keeps_what_is_known(whole: Running, around: World) -> None:
    kept = whole.exporter.fleet.agents["planner-1"]
    config = around.config()
    config["agents"] = [config["agents"][0], {**config["agents"][2], "name": "validator-9"}]
    whole.file.write_text(yaml.safe_dump(config))
    assert await whole.reload() == (200, "reloaded\n")
    assert list(whole.exporter.fleet.agents) == ["planner-1", "validator-9"]
    assert whole.exporter.fleet.agents["planner-1"] is kept
    assert (await whole.get("/-/ready"))[0] == 200, "new agents do not make a running exporter unready"
    await until(whole.exporter.fleet.has_been_probed)
    assert "planner-2" not in await whole.text("/metrics")


async def test_broken_reload_keeps_the_running_configuration_and_says_so(whole: Running, around: World) -> None:
    config = around.config()
    config["agents"][1] |= {"name": "planner-1", "type": "poet"}
    whole.file.write_text(yaml.safe_dump(config))
    status, text = await whole.reload()
    assert status == 500
    assert len(text.splitlines()) == 2, "every problem at once"
    assert "agents.1.name: the name planner-1 is already taken by agents.0" in text
    assert set(whole.exporter.fleet.agents) == {"planner-1", "planner-2", "validator-1"}
    found = samples((await whole.text("/metrics")).encode())
    assert found["mcp_config_last_reload_successful"] == {("exporter",): 0}
    assert (await whole.health())["overall_status"] == "healthy"


async def test_new_settings_of_sources_and_apis_count_after_a_reload(whole: Running, around: World) -> None:
    config = around.config(workflow_sources=[], prometheus=None, alertmanager=None)
    del config["prometheus"], config["alertmanager"]
    whole.file.write_text(yaml.safe_dump(config))
    assert (await whole.reload())[0] == 200
    found = await whole.health()
    assert found["active_alerts_problem"] == "no Alertmanager is configured"
    assert {part["status"] for part in found["component_health"].values()} == {"healthy", "not_configured"}
    assert found["overall_status"] == "healthy"


async def test_target_files_are_watched(tmp_path: Path, around: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.service.RESCAN_SECONDS", 0.05)
    targets = tmp_path / "targets.json"
    config = around.config(agents=[], file_sd=[{"files": ["targets.json"]}])
    async with running(tmp_path / "exporter.yaml", config) as started:
        group = {"targets": [f"{around.url}/x/mcp"], "labels": {"agent": "found", "agent_type": "planner"}}
        targets.write_text(json.dumps([group]))
        await until(lambda: "found" in started.exporter.fleet.agents and started.exporter.fleet.has_been_probed())
        found = samples((await started.text("/metrics")).encode())
        assert found["mcp_agent_up"] == {("planner", "found"): 1}
        targets.write_text("[{")
        await until(lambda: not all(started.exporter.target_files.states().values()))
        found = samples((await started.text("/metrics")).encode())
        assert found["mcp_target_file_up"] == {(str(targets),): 0}
        assert found["mcp_agent_up"] == {("planner", "found"): 1}


async def test_target_file_that_is_named_must_be_there_and_a_pattern_may_fit_none(
    tmp_path: Path, around: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.service.RESCAN_SECONDS", 0.05)
    named, pattern = tmp_path / "targets.json", tmp_path / "targets" / "*.json"
    config = around.config(file_sd=[{"files": ["targets.json", "targets/*.json"]}])
    async with running(tmp_path / "exporter.yaml", config) as started:
        found = samples((await started.text("/metrics")).encode())
        assert found["mcp_target_file_up"] == {(str(named),): 0, (str(pattern),): 1}
        named.write_text("[]")
        await until(lambda: all(started.exporter.target_files.states().values()))
    said = [vars(record)["file"] for record in caplog.records if "no target file" in record.message]
    assert said == [str(named), str(pattern)]


async def test_agent_of_a_file_whose_name_is_taken_is_logged_and_not_probed(
    tmp_path: Path, around: World, caplog: pytest.LogCaptureFixture
) -> None:
    group = {"targets": ["http://elsewhere:1"], "labels": {"agent": "planner-1", "agent_type": "planner"}}
    (tmp_path / "targets.json").write_text(json.dumps([group]))
    config = around.config(file_sd=[{"files": ["targets.json"]}])
    async with running(tmp_path / "exporter.yaml", config) as started:
        assert started.exporter.fleet.agents["planner-1"].target.url.startswith(around.url)
    assert [vars(record)["agent"] for record in caplog.records if "name taken" in record.message] == ["planner-1"]


async def test_bug_in_a_probe_is_a_protocol_error_of_that_agent_only(
    whole: Running, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(http: HttpClient, timeout_seconds: float) -> ProbeResult:
        raise RuntimeError("a bug")

    whole.exporter.fleet.agents["planner-1"].probe = broken
    await until(lambda: result_of(whole.exporter, "planner-1").outcome == "protocol_error")
    assert result_of(whole.exporter, "planner-2").outcome == "ok"
    assert any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("release", ["new", "old"])
async def test_promtool_finds_nothing_wrong_with_the_metrics(whole: Running, release: packages.Release) -> None:
    text = await whole.text("/metrics")
    process = await asyncio.create_subprocess_exec(
        *(str(tool("promtool", release)), "check", "metrics"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    found, _ = await process.communicate(text.encode())
    assert (process.returncode, found.decode()) == (0, "")
