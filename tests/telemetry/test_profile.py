"""The profile `telemetry`: what the files of collector, Tempo, Loki, Grafana and Compose say fits together."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract import log, tracing_settings
from contract.vocabulary import AuditEvent, Escalation, Severity

ROOT = Path(__file__).resolve().parents[2]


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


COLLECTOR, TEMPO, LOKI = (read(f"telemetry/{name}.yaml") for name in ("collector", "tempo", "loki"))
SERVICES = read("docker-compose.yml")["services"]
SOURCES = {
    source["uid"]: source for source in read("dashboards/provisioning/datasources/datasources.yaml")["datasources"]
}
OURS = ("idp", "sink", "agents", "sidecar", "engine", "exporter", "incident-desk")
PROFILE = ("otel-collector", "tempo", "loki")


def test_every_pipeline_is_made_of_parts_that_are_there_and_every_part_is_used() -> None:
    used: dict[str, set[str]] = {"receivers": set(), "processors": set(), "exporters": set()}
    for pipeline in COLLECTOR["service"]["pipelines"].values():
        for kind, names in pipeline.items():
            used[kind] |= set(names)
    connectors = set(COLLECTOR["connectors"])
    assert used["receivers"] == set(COLLECTOR["receivers"]) | connectors
    assert used["exporters"] == set(COLLECTOR["exporters"]) | connectors
    assert used["processors"] == set(COLLECTOR["processors"])
    assert set(COLLECTOR["service"]["extensions"]) == set(COLLECTOR["extensions"])


def test_the_collector_reads_what_services_and_sidecar_write() -> None:
    mounted = {target: source for source, target, *_ in (m.split(":") for m in SERVICES["otel-collector"]["volumes"])}
    for name in OURS:
        service = SERVICES[name]
        folder = service["environment"]["LOOKOUT_LOG_FOLDER"]
        assert folder == "${COMPOSE_PROFILES:+/var/log/lookout}"
        assert f"{mounted['/var/log/lookout']}:/var/log/lookout" in service["volumes"]
    assert COLLECTOR["receivers"]["file_log/services"]["include"] == ["/var/log/lookout/*.jsonl"]
    assert all(
        path.startswith("/var/lib/lookout/audit/") for path in COLLECTOR["receivers"]["file_log/audit"]["include"]
    )
    assert mounted["/var/lib/lookout/audit"] == "audit"
    assert SERVICES["otel-collector"]["user"] == SERVICES["sidecar"]["user"]
    assert log.FOLDER_VARIABLE == "LOOKOUT_LOG_FOLDER"


def test_the_guide_to_running_without_docker_changes_what_is_there() -> None:
    guide = (ROOT / "docs/telemetry.md").read_text(encoding="utf-8")
    bullets = re.findall(r"^\* `(\w+\.yaml)`: (.+(?:\n  .+)*)", guide, re.MULTILINE)
    assert [name for name, _ in bullets] == ["collector.yaml", "tempo.yaml", "loki.yaml"]
    for name, text in bullets:
        changed = re.findall(r"`([^`]+)`\s+becomes", text) + re.findall(r"`(/loki)` a folder", text)
        file = (ROOT / "telemetry" / name).read_text(encoding="utf-8")
        assert changed
        assert [old for old in changed if old not in file] == []


def test_every_level_of_a_line_is_one_that_the_collector_knows_or_is_told() -> None:
    parser = COLLECTOR["receivers"]["file_log/services"]["operators"][0]
    severity = parser["severity"]
    assert (parser["type"], severity["parse_from"]) == ("json_parser", "attributes.level")
    assert severity["mapping"]["fatal"] == "critical"
    written = {
        json.loads(log.JsonFormatter("tested").format(logging.LogRecord("a", number, "", 0, "b", (), None)))["level"]
        for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
    }
    assert written == {"debug", "info", "warning", "error", *severity["mapping"].values()}, "first four are built in"


def test_every_event_of_the_audit_log_has_a_level() -> None:
    parser = COLLECTOR["receivers"]["file_log/audit"]["operators"][0]
    assert (parser["type"], parser["severity"]["parse_from"]) == ("json_parser", "attributes.event")
    mapping = parser["severity"]["mapping"]
    assert sorted(event for events in mapping.values() for event in events) == sorted(AuditEvent)
    for level, results in (("warn", ("failure", "deny")), ("error", ("error",))):
        assert set(mapping[level]) == {event for event in AuditEvent if event.endswith(results)}


@pytest.mark.parametrize("name", OURS)
def test_without_the_profile_nothing_is_traced(name: str) -> None:
    environment = {
        variable: re.sub(r"\$\{\w+(?::[-+]).*\}", "", value)
        for variable, value in SERVICES[name]["environment"].items()
        if variable.startswith("OTEL_")
    }
    assert environment
    assert not tracing_settings.is_wanted(environment)


@pytest.mark.parametrize("name", OURS)
def test_every_variable_of_the_guide_that_needs_no_file_is_passed_on(name: str) -> None:
    table = (ROOT / "docs/telemetry.md").read_text(encoding="utf-8").partition("| variable |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(OTEL_\w+)[`=]", table)) | {"OTEL_EXPORTER_OTLP_COMPRESSION"}
    assert len(named) > 10
    passed = {variable for variable in SERVICES[name]["environment"] if variable.startswith("OTEL_")}
    assert passed == named


@pytest.mark.parametrize("name", PROFILE)
def test_the_profile_adds_to_the_stack_and_nothing_needs_it(name: str) -> None:
    assert SERVICES[name]["profiles"] == ["telemetry"]
    assert not [other for other in SERVICES if name in SERVICES[other].get("depends_on", {})]


def test_the_collector_sends_to_where_tempo_and_loki_listen() -> None:
    exporters = COLLECTOR["exporters"]
    tempo = TEMPO["distributor"]["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    assert exporters["otlp_http/tempo"]["endpoint"] == f"http://tempo:{tempo.rpartition(':')[2]}"
    assert exporters["otlp_http/loki"]["endpoint"] == f"http://loki:{LOKI['server']['http_listen_port']}/otlp"


def test_prometheus_scrapes_what_the_collector_exposes() -> None:
    jobs = {job["job_name"]: job for job in read("rules/prometheus.yml")["scrape_configs"]}
    (spans,) = jobs["spans"]["dns_sd_configs"]
    assert (spans["names"], spans["type"]) == (["otel-collector"], "A")
    assert COLLECTOR["exporters"]["prometheus"]["endpoint"] == f"0.0.0.0:{spans['port']}"
    found = {name: one["port"] for one in jobs["telemetry"]["dns_sd_configs"] for name in one["names"]}
    own = COLLECTOR["service"]["telemetry"]["metrics"]["readers"][0]["pull"]["exporter"]["prometheus"]["port"]
    assert found == {
        "otel-collector": own,
        "loki": LOKI["server"]["http_listen_port"],
        "tempo": TEMPO["server"]["http_listen_port"],
    }


def test_a_latency_leads_to_its_trace_a_trace_to_its_lines_and_a_line_back() -> None:
    assert SOURCES["prometheus"]["jsonData"]["exemplarTraceIdDestinations"][0] | {"urlDisplayLabel": ""} == {
        "name": "trace_id",
        "datasourceUid": "tempo",
        "urlDisplayLabel": "",
    }
    assert SOURCES["tempo"]["jsonData"]["tracesToLogsV2"]["datasourceUid"] == "loki"
    (field,) = SOURCES["loki"]["jsonData"]["derivedFields"]
    assert (field["matcherRegex"], field["datasourceUid"]) == ("trace_id", "tempo")
    for name, source in (("tempo", TEMPO), ("loki", LOKI)):
        assert SOURCES[name]["url"] == f"http://{name}:{source['server']['http_listen_port']}"
    assert all(source["editable"] is False for source in SOURCES.values())


def test_the_guide_names_every_panel_that_shows_exemplars() -> None:
    guide = " ".join((ROOT / "docs/telemetry.md").read_text(encoding="utf-8").split())
    named = {
        (panel, board)
        for panel, boards in re.findall(r'"([\w ]+)" \(([\w ,]+)\)', guide)
        for board in boards.split(", ")
    }
    boards = [read(str(file.relative_to(ROOT))) for file in (ROOT / "dashboards/generated").glob("*.json")]
    assert named == {
        (panel["title"], board["title"])
        for board in boards
        for panel in board["panels"]
        if any(target.get("exemplar") for target in panel.get("targets", ()))
    }


def test_grafana_asks_loki_for_alert_rules_only_where_loki_tells_them() -> None:
    assert SOURCES["loki"]["jsonData"]["manageAlerts"] is LOKI["ruler"]["enable_api"]


def test_exemplars_are_stored_by_the_prometheus_of_both_ways_of_running() -> None:
    assert any("exemplar-storage" in word for word in SERVICES["prometheus"]["command"])
    assert "--enable-feature=exemplar-storage" in (ROOT / "deploy/native/services.py").read_text(encoding="utf-8")


def test_alerts_on_lines_carry_the_labels_that_our_routes_read() -> None:
    (group,) = read("telemetry/loki-rules/fake/examples.yaml")["groups"]
    for rule in group["rules"]:
        assert rule["labels"]["severity"] in set(Severity)
        assert rule["labels"]["escalation"] in set(Escalation)
        assert {"summary", "description"} <= set(rule["annotations"])
