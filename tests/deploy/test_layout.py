"""Copies of the configuration with this machine's addresses, and the table of services that reads them."""

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml

from contract.ports import ENDPOINTS, free_port
from deploy.native.files import digest
from deploy.native.layout import ROOT, Layout, state_folder
from deploy.native.runner import Runner
from deploy.native.services import Table
from deploy.prepare import OWN_LIST
from tests.checkout import demo_checkout, shipped

MOVED = {e.variable: str(20000 + 100 * n) for n, e in enumerate(ENDPOINTS.values())}
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A small copy of what the layout reads, to change at will."""
    root = tmp_path / "repository"
    for name in ("exporter/exporter.yaml", "rules/prometheus.yml", "alertmanager/generated/alertmanager.yml"):
        (root / name).parent.mkdir(parents=True)
        shutil.copy(shipped(name), root / name)
    return root


def layout(tmp_path: Path, root: Path | None = None) -> Layout:
    return Layout(tmp_path / "state" / "native", root or demo_checkout(tmp_path / "checkout"))


def texts(folder: Path) -> dict[str, str]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): file.read_text(encoding="utf-8") for file in files}


def test_every_configuration_file_is_copied(tmp_path: Path) -> None:
    made = layout(tmp_path)
    made.write({})
    assert {
        "lookout/exporter.yaml",
        "lookout/sidecar.yaml",
        "lookout/roles.yaml",
        "lookout/desk.yaml",
        "lookout/secrets/audit_key",
        "lookout/secrets/sidecar_admin_token",
        "prometheus/prometheus.yml",
        "prometheus/rules/agent_down.yaml",
        "alertmanager/alertmanager.yml",
        "alertmanager/templates/slack.tmpl",
        "alertmanager/secrets/slack_url",
        "grafana/provisioning/datasources/datasources.yaml",
        "grafana/dashboards/overview.json",
    } <= set(texts(made.etc))


def test_no_copy_names_a_host_or_folder_of_the_containers(tmp_path: Path) -> None:
    made = layout(tmp_path)
    made.write(MOVED)
    ports = "|".join(str(e.port + n) for e in ENDPOINTS.values() for n in range(e.count))
    hosts = "|".join(sorted({e.host for e in ENDPOINTS.values()}))
    left = re.compile(rf"(?<![\w.-])(?:(?:{hosts}|localhost):(?:{ports})|/etc/(?:lookout|grafana)/)(?!\d)")
    found = {name: left.findall(text) for name, text in texts(made.etc).items() if "rules/" not in name}
    assert {name: names for name, names in found.items() if names} == {}


def test_committed_files_are_not_written(tmp_path: Path, repository: Path) -> None:
    before = texts(repository)
    layout(tmp_path, repository).write(MOVED)
    assert texts(repository) == before


def test_second_write_changes_no_file(tmp_path: Path, repository: Path) -> None:
    made = layout(tmp_path, repository)
    made.write({})
    before = {file: file.stat().st_mtime_ns for file in made.etc.rglob("*")}
    assert made.write({}) == []
    assert {file: file.stat().st_mtime_ns for file in made.etc.rglob("*")} == before


def test_file_that_is_gone_from_the_repository_goes_from_the_copies(tmp_path: Path, repository: Path) -> None:
    made = layout(tmp_path, repository)
    (repository / "rules/generated").mkdir()
    (repository / "rules/generated/old.yaml").write_text("groups: []\n", encoding="utf-8")
    made.write({})
    (repository / "rules/generated/old.yaml").unlink()
    made.write({})
    assert "prometheus/rules/old.yaml" not in texts(made.etc)


def test_copy_says_where_its_paths_start_and_keeps_its_lines(tmp_path: Path, repository: Path) -> None:
    made = layout(tmp_path, repository)
    made.write({})
    original = (repository / "exporter/exporter.yaml").read_text(encoding="utf-8").rstrip().splitlines()
    *lines, last = texts(made.etc)["lookout/exporter.yaml"].splitlines()
    assert last == f"# relative paths start at: {repository / 'exporter'}"
    assert len(lines) == len(original)


def test_secrets_of_the_checkout_are_named_where_they_are_handed_over(tmp_path: Path, repository: Path) -> None:
    file = repository / "exporter/exporter.yaml"
    file.write_text("credentials:\n  a: {token_file: secrets/a}\n  b: {token_file: my/secrets/b}\n", encoding="utf-8")
    made = layout(tmp_path, repository)
    made.write({})
    text = texts(made.etc)["lookout/exporter.yaml"]
    assert f"token_file: {made.etc}/lookout/secrets/a}}" in text
    assert "token_file: my/secrets/b}" in text
    assert made.in_users_terms(f"secret file {made.etc}/lookout/secrets/a: gone") == "secret file secrets/a: gone"


def test_a_copy_read_by_hand_names_the_folders_of_the_run(tmp_path: Path) -> None:
    made = layout(tmp_path)
    made.write({})
    assert f"folder: {made.data / 'audit'}\n" in texts(made.etc)["lookout/sidecar.yaml"]
    assert f"database: {made.data / 'incidents'}/incidents.db\n" in texts(made.etc)["lookout/desk.yaml"]


def test_revocations_begin_empty_once_and_are_not_made_anew_when_they_are_gone(tmp_path: Path) -> None:
    made = layout(tmp_path)
    made.write({})
    file = made.data / "sidecar" / "revocations.json"
    assert f"revocations_file: {file}\n" in texts(made.etc)["lookout/sidecar.yaml"]
    assert file.read_text(encoding="utf-8") == "[]\n"
    file.write_text('[{"subject": "planner"}]', encoding="utf-8")
    made.write({})
    assert "planner" in file.read_text(encoding="utf-8")
    file.unlink()
    made.write({})
    assert not file.exists(), "the sidecar lets nobody in until somebody looks"


def test_copies_of_secrets_are_private_and_alertmanager_sees_only_its_own(tmp_path: Path, repository: Path) -> None:
    made = layout(tmp_path, repository)
    made.write({})
    copies = [file for file in made.etc.rglob("secrets/*") if file.is_file()]
    assert {file.stat().st_mode & 0o777 for file in copies} == {0o600}
    assert {file.name for file in (made.etc / "alertmanager/secrets").iterdir()} == {
        "slack_url",
        "pagerduty_routing_key",
        "incident_desk_token",
    }
    assert OWN_LIST not in {file.name for file in copies}


def test_own_secrets_of_the_checkout_are_used(tmp_path: Path, repository: Path) -> None:
    (repository / "secrets").mkdir()
    (repository / "secrets/slack_url").write_text("https://hooks.example/mine", encoding="utf-8")
    made = layout(tmp_path, repository)
    made.write({})
    assert texts(made.etc)["alertmanager/secrets/slack_url"] == "https://hooks.example/mine"


@pytest.mark.parametrize(
    ("secret", "readers"),
    [
        ("slack_url", {"sink"}),
        ("incident_desk_token", {"incident-desk"}),
        ("idp_client_intruder", {"idp", "agents", "exporter"}),
        ("audit_key", {"sidecar"}),
        ("slack_of_another_team", {"exporter"}),
        ("sidecar_tls_key", {"sidecar"}),
    ],
)
def test_changed_secret_concerns_only_who_reads_it(tmp_path: Path, secret: str, readers: set[str]) -> None:
    made = layout(tmp_path)
    made.write({})
    file = made.etc / "lookout/secrets" / secret
    file.touch()
    before = {service.name: digest(service.config) for service in table(tmp_path).services()}
    file.write_text("changed", encoding="utf-8")
    after = {service.name: digest(service.config) for service in table(tmp_path).services()}
    assert {name for name in before if before[name] != after[name]} == readers


def test_state_lies_in_the_checkout_unless_the_environment_says_otherwise(tmp_path: Path) -> None:
    assert state_folder({}) == ROOT / ".lookout" / "native"
    assert state_folder({"LOOKOUT_STATE": str(tmp_path)}) == tmp_path / "native"
    assert state_folder({"LOOKOUT_STATE": str(tmp_path / "my state, (2)")}) == tmp_path / "my state, (2)" / "native"


@pytest.mark.parametrize("name", ["a #1", "a[x]", "a*", "a: b", "a'b", "a$b"])
def test_a_state_folder_that_configuration_files_cannot_hold_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="LOOKOUT_STATE"):
        state_folder({"LOOKOUT_STATE": str(tmp_path / name)})


def table(tmp_path: Path, **environ: str) -> Table:
    return Table(layout(tmp_path), {"PATH": os.environ["PATH"], **MOVED, **environ})


def test_every_service_of_compose_runs_natively_too(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "grafana"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    services = table(tmp_path, PATH=str(program.parent)).services()
    of_a_profile = {name for name, service in COMPOSE.items() if "profiles" in service}
    assert {service.name for service in services} == set(COMPOSE) - {"prepare"} - of_a_profile


def test_grafana_is_left_out_where_it_is_not_installed(tmp_path: Path) -> None:
    names = {service.name for service in table(tmp_path, PATH=str(tmp_path)).services()}
    assert "grafana" not in names
    assert "prometheus" in names


def test_every_port_of_the_environment_is_used_and_none_twice(tmp_path: Path) -> None:
    ports = [port for service in table(tmp_path, PATH=str(tmp_path)).services() for port in service.ports]
    numbers = [port.number for port in ports]
    assert len(set(numbers)) == len(numbers)
    elsewhere = {"LOOKOUT_GRAFANA_PORT", "LOOKOUT_OTLP_PORT", "LOOKOUT_LOKI_PORT", "LOOKOUT_TEMPO_PORT"}
    assert {port.variable for port in ports} == set(MOVED) - elsewhere
    assert all(number >= 20000 for number in numbers)


def test_nothing_listens_beyond_loopback(tmp_path: Path) -> None:
    commands = [" ".join(service.command) for service in table(tmp_path, PATH=str(tmp_path)).services()]
    assert not [command for command in commands if "0.0.0.0" in command or "listen-address=:" in command]  # noqa: S104


def test_what_a_run_keeps_lies_below_its_state_folder(tmp_path: Path) -> None:
    for service in table(tmp_path, PATH=str(tmp_path)).services():
        for flag in ("--storage.tsdb.path=", "--storage.path=", "--config.file="):
            paths = [word.removeprefix(flag) for word in service.command if word.startswith(flag)]
            assert all(Path(path).is_relative_to(tmp_path / "state") for path in paths), service.name


def test_grafana_writes_only_below_the_state_folder(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "grafana"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    services = table(tmp_path, PATH=str(program.parent)).services()
    environ = next(service.environ for service in services if service.name == "grafana")
    written = [environ[f"GF_PATHS_{name}"] for name in ("DATA", "LOGS", "PLUGINS")]
    assert all(Path(folder).is_relative_to(tmp_path / "state") for folder in written)
    assert Path(environ["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]).name == "overview.json"


def test_edited_configuration_beside_the_code_of_a_service_is_no_new_program(tmp_path: Path) -> None:
    found = {service.name: service for service in table(tmp_path, PATH=str(tmp_path)).services()}
    for name, file in (("exporter", "exporter.yaml"), ("sidecar", "roles.yaml")):
        folder = tmp_path / "code" / name
        folder.mkdir(parents=True)
        moved = replace(found[name], code=(folder,))
        (folder / "__main__.py").touch()
        before = moved.program
        (folder / file).write_text("edited", encoding="utf-8")
        assert moved.program == before
        (folder / "__main__.py").write_text("edited", encoding="utf-8")
        assert moved.program != before


def test_services_with_a_check_of_their_own_run_it_on_the_copy_they_read(tmp_path: Path) -> None:
    found = {service.name: service for service in table(tmp_path, PATH=str(tmp_path)).services()}
    for name in ("exporter", "sidecar", "incident-desk"):
        assert found[name].check == (*found[name].command, "--check")
        assert [file for file in found[name].config if str(file) in found[name].command]


def test_messages_about_copies_name_the_files_of_the_user(tmp_path: Path) -> None:
    made = layout(tmp_path)
    made.write({})
    copies = [
        made.etc / "lookout/exporter.yaml",
        made.etc / "lookout/roles.yaml",
        made.etc / "prometheus/prometheus.yml",
    ]
    told = made.in_users_terms("\n".join(f"{copy}:3: agents: bad" for copy in copies))
    assert told.splitlines() == [
        "exporter/exporter.yaml:3: agents: bad",
        "auth_sidecar/roles.yaml:3: agents: bad",
        "rules/prometheus.yml:3: agents: bad",
    ]


def test_node_exporter_scrapes_without_errors_in_its_log(tmp_path: Path) -> None:
    found = {service.name: service for service in table(tmp_path, PATH=str(tmp_path)).services()}
    made = found["node-exporter"]
    port = free_port()
    listen = [f"--web.listen-address=127.0.0.1:{port}" if "listen-address" in word else word for word in made.command]
    runner = Runner(tmp_path / "run", ready_within_seconds=20)
    ready = f"http://127.0.0.1:{port}/metrics"
    try:
        runner.up([replace(made, command=tuple(listen), ready=ready, ports=())])
        with urlopen(ready, timeout=10) as answer:
            metrics = answer.read().decode()
    finally:
        runner.down()
    assert "node_cpu_seconds_total" in metrics
    log = (runner.logs / "node-exporter.log").read_text(encoding="utf-8")
    assert not [line for line in log.splitlines() if "collector failed" in line or "collector=textfile" in line]


def test_what_telemetry_needs_reaches_every_service_of_ours(tmp_path: Path) -> None:
    wanted = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "LOOKOUT_LOG_FOLDER": str(tmp_path)}
    services = [service for service in table(tmp_path, **wanted).services() if service.code]
    assert len(services) == 7
    assert all(wanted.items() <= service.environ.items() for service in services)
