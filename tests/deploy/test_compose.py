"""The compose file keeps what it promises: pinned, healthy, unprivileged, bounded, on loopback, with its state kept."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract.ports import ENDPOINTS
from deploy.native.services import GRAFANA
from deploy.prepare import GROUPS

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {"prepare", "tools"}
RUNNING = sorted(set(SERVICES) - ONE_SHOT)
TELEMETRY = {"otel-collector", "tempo", "loki"}
"""Images with one program alone, which no health check could run another in; Prometheus scrapes them."""
ASKED = sorted(set(RUNNING) - TELEMETRY)
# Folders in which a service keeps what must outlive its container.
STATE = {
    "prometheus": "/prometheus",
    "alertmanager": "/alertmanager",
    "grafana": "/var/lib/grafana",
    "sidecar": "/var/lib/lookout/audit",
    "idp": "/var/lib/lookout/idp",
    "sink": "/var/lib/lookout/sink",
    "tempo": "/var/tempo",
    "loki": "/loki",
    "otel-collector": "/var/log/lookout",
    "incident-desk": "/var/lib/lookout/incidents",
}


def mounts(name: str) -> list[tuple[str, str, str]]:
    """Return (source, target, mode) of each mount of a service."""
    split = [entry.split(":") for entry in SERVICES[name].get("volumes", [])]
    return [(source, target, "".join(mode)) for source, target, *mode in split]


def published(name: str) -> list[re.Match[str]]:
    pattern = re.compile(r"127\.0\.0\.1:\$\{(LOOKOUT_\w+_PORTS?):-([\d-]+)\}:([\d-]+)")
    found = [pattern.fullmatch(entry) for entry in SERVICES[name].get("ports", [])]
    assert all(found), f"{name} publishes a port that is not on loopback or cannot be moved: {SERVICES[name]['ports']}"
    return [match for match in found if match]


@pytest.mark.parametrize("name", SERVICES)
def test_image_is_pinned_to_a_whole_version(name: str) -> None:
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", SERVICES[name]["image"])


def test_base_image_is_pinned_to_a_whole_version() -> None:
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", bases[0])


@pytest.mark.parametrize("name", ASKED)
def test_running_service_has_a_health_check(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)


@pytest.mark.parametrize("name", ASKED)
def test_health_check_asks_a_port_of_the_service_itself(name: str) -> None:
    text = " ".join(SERVICES[name]["healthcheck"]["test"])
    own = {str(endpoint.port) for endpoint in ENDPOINTS.values() if endpoint.host == name}
    assert own & set(re.findall(r"\d{4}", text))


@pytest.mark.parametrize("name", SERVICES)
def test_no_container_runs_as_root(name: str) -> None:
    assert int(SERVICES[name]["user"].split(":")[0]) > 0


@pytest.mark.parametrize("name", SERVICES)
def test_no_container_can_gain_or_change_anything(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges=true"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc", "userns_mode"} & set(service)
    assert service.get("network_mode") in (None, "none")


@pytest.mark.parametrize("name", SERVICES)
def test_memory_processes_and_logs_are_bounded(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert 0 < service["pids_limit"] <= 256
    assert {"max-size", "max-file"} <= set(service["logging"]["options"])


def test_agents_may_load_every_processor() -> None:
    assert not {"cpus", "cpuset", "cpu_quota", "deploy"} & set(SERVICES["agents"])


@pytest.mark.parametrize("name", RUNNING)
def test_every_port_is_bound_to_loopback_and_can_be_moved(name: str) -> None:
    assert published(name)


def test_published_ports_are_those_of_the_contract() -> None:
    found = {match[1]: match[2] for name in RUNNING for match in published(name)}
    expected = {e.variable: str(e.port) for e in ENDPOINTS.values() if e.host in SERVICES and e.count == 1}
    agents = ENDPOINTS["agents"]
    expected["LOOKOUT_AGENTS_PORTS"] = f"{agents.port}-{agents.port + agents.count - 1}"
    assert found == expected


@pytest.mark.parametrize("name", RUNNING)
def test_port_in_the_container_is_the_one_that_others_name(name: str) -> None:
    assert all(match[2] == match[3] for match in published(name))


@pytest.mark.parametrize("name", STATE)
def test_state_lies_in_a_named_volume(name: str) -> None:
    sources = {target: source for source, target, _ in mounts(name)}
    assert sources[STATE[name]] in COMPOSE["volumes"]


def test_every_volume_is_used_and_every_used_one_declared() -> None:
    used = {source for name in SERVICES for source, _, _ in mounts(name) if not source.startswith(".")}
    assert used == set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_what_comes_from_the_repository_is_there_and_read_only(name: str) -> None:
    for source, target, mode in mounts(name):
        if source.startswith("."):
            assert mode == "ro", target
            assert (ROOT / source).exists(), f"{source}: Docker would make an empty folder of it"


@pytest.mark.parametrize("name", ["exporter", "sidecar", "incident-desk"])
def test_what_lies_beside_a_configuration_file_is_in_the_container_too(name: str) -> None:
    (option,) = [word for word in SERVICES[name]["command"] if word.startswith("--config=")]
    file = Path(option.removeprefix("--config="))
    folders = {target: ROOT / source for source, target, _ in mounts(name) if source.startswith(".")}
    config = folders[str(file.parent)] / file.name
    assert config.is_file()
    # Paths out of the folder lead to the same files as in the checkout, secrets to where they are handed over.
    for beside in re.findall(r"\.\./[\w./-]+", config.read_text(encoding="utf-8")):
        place = Path(os.path.normpath(file.parent / beside))
        assert folders[str(place.parent)] / place.name == Path(os.path.normpath(config.parent / beside))
    (secrets,) = [target for source, target, _ in mounts(name) if source.startswith("secrets-")]
    assert Path(secrets) == file.parent.parent / "secrets"


@pytest.mark.parametrize("name", RUNNING)
def test_secrets_are_read_only_and_of_the_service_s_own_groups(name: str) -> None:
    groups = {source: mode for source, _, mode in mounts(name) if source.startswith("secrets-")}
    assert set(groups.values()) <= {"ro"}
    assert ("secrets-sidecar" in groups) == (name == "sidecar")
    assert ("secrets-desk" in groups) == (name == "incident-desk")


def test_one_shot_service_writes_every_group_of_secrets() -> None:
    written = {target.removeprefix("/secrets/") for source, target, mode in mounts("prepare") if mode == ""}
    assert written == set(GROUPS)


@pytest.mark.parametrize("name", [name for name in RUNNING if any("secrets-" in m[0] for m in mounts(name))])
def test_who_reads_secrets_starts_after_they_are_made(name: str) -> None:
    assert SERVICES[name]["depends_on"]["prepare"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("name", SERVICES)
def test_dependency_names_a_condition_that_can_come_true(name: str) -> None:
    for other, wanted in SERVICES[name].get("depends_on", {}).items():
        if wanted["condition"] == "service_healthy":
            assert "test" in SERVICES[other]["healthcheck"], other


def test_no_secret_and_no_password_stands_in_the_file() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert not re.search(r"(?i)(password|secret|token)\w*\s*[:=]\s*['\"]?[A-Za-z0-9]{8,}", text)


def test_grafana_is_set_up_as_in_a_native_run() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert {key: environment.get(key) for key in GRAFANA} == dict(GRAFANA)


def test_grafana_opens_on_the_overview() -> None:
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    source = next(source for source, target, _ in mounts("grafana") if target == str(home.parent))
    assert (ROOT / source / home.name).is_file()


def test_tools_know_every_port_that_can_be_moved() -> None:
    known = set(SERVICES["tools"]["environment"])
    assert known == {e.variable for e in ENDPOINTS.values() if e.host in SERVICES and e.count == 1}


def test_prometheus_in_a_network_has_no_api_that_ends_it() -> None:
    assert not [flag for flag in SERVICES["prometheus"]["command"] if "lifecycle" in flag or "admin-api" in flag]


def test_prometheus_reads_the_generated_rules_and_grafana_is_asked_for_its_health() -> None:
    sources = {target: source for source, target, _ in mounts("prometheus")}
    assert sources["/etc/prometheus/rules"] == "./rules/generated"
    assert any("/api/health" in part.split("3000")[-1:] for part in SERVICES["grafana"]["healthcheck"]["test"])


def test_the_image_runs_as_nobody() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("USER ")] == ["USER 65534:65534"]


def test_image_holds_only_what_its_services_run_on() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert lines[1] == "*"
    assert not {line for line in lines if line.startswith("!")} & {"!secrets", "!.git", "!.lookout", "!tests"}


def test_image_contains_every_module_that_a_service_runs() -> None:
    copied = re.findall(r"^COPY (\w+) \1$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    ours = [service for service in SERVICES.values() if service["image"].startswith("mcp-lookout")]
    assert {service["command"][0].split(".")[0] for service in ours} <= set(copied)
