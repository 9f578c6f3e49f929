"""The door behind make picks the runtime, reads .env, and says what a person has to know."""

import re
from pathlib import Path

import pytest

from contract.ports import ENDPOINTS
from tests.checkout import shipped
from tests.deploy.door import RECORDER, Door


@pytest.fixture
def door(tmp_path: Path) -> Door:
    """The door, on a machine whose docker command finds no engine."""
    made = Door(tmp_path)
    made.docker(runs=False)
    return made


def test_up_is_native_where_no_docker_engine_answers(door: Door) -> None:
    assert door.open("up").returncode == 0
    assert door.called("python") == ["python -m deploy.native up"]
    assert door.called("docker compose up") == []


def test_native_up_makes_the_environment_first(door: Door) -> None:
    door.open("up")
    assert door.called("make") == ["make --no-print-directory -s setup-to-run"]


def test_up_is_compose_where_an_engine_answers_and_needs_no_python(door: Door) -> None:
    door.docker()
    assert door.open("up").returncode == 0
    assert door.called("docker compose up") == ["docker compose up --detach --build --wait --wait-timeout 300"]
    assert door.called("docker compose run")[0].endswith("tools deploy.urls")
    assert door.called("python") == door.called("make") == []


@pytest.mark.parametrize(("wanted", "program"), [("native", "python -m"), ("compose", "docker compose up")])
def test_runtime_can_be_forced(door: Door, wanted: str, program: str) -> None:
    door.docker(runs=wanted == "native")
    door.open("up", LOOKOUT_RUNTIME=wanted)
    assert door.called(program)


def test_unknown_runtime_is_refused(door: Door) -> None:
    result = door.open("up", LOOKOUT_RUNTIME="podman")
    assert result.returncode == 2
    assert "neither native nor compose" in result.stderr


def test_what_runs_natively_stays_native_when_docker_appears(door: Door) -> None:
    door.run_natively_already()
    door.docker()
    door.open("up")
    assert door.called("python") == ["python -m deploy.native up"]


def test_down_ends_both_kinds(door: Door) -> None:
    door.run_natively_already()
    door.docker(containers="abc")
    assert door.open("down").returncode == 0
    assert door.called("docker compose --profile telemetry down") == ["docker compose --profile telemetry down"]
    assert door.called("python") == ["python -m deploy.native down"]


def test_down_says_which_alerts_fire(door: Door) -> None:
    alerts = '[{"labels":{"alertname":"HighErrorRate"}},{"labels":{"alertname":"AgentDown","agent":"a"}}]'
    answers = f"ps*) echo id;; compose\\ exec*) echo '{alerts}';; esac\n"
    door.program("bin/docker", f'{RECORDER}case "$*" in {answers}')
    assert door.open("down").stdout.startswith("Still firing: AgentDown, HighErrorRate. ")


@pytest.mark.parametrize(("states", "code"), [("idp|running|healthy|0", 0), ("idp|exited||1", 1)])
def test_status_under_compose_fails_where_a_service_does_not_run(door: Door, states: str, code: int) -> None:
    door.docker(containers="id", states=states)
    assert door.open("status").returncode == code
    door.docker()
    assert door.open("status").returncode == 1


def test_down_leaves_what_another_checkout_runs_with_compose(door: Door) -> None:
    door.docker()
    assert door.open("down").returncode == 0
    assert door.called("docker compose --profile telemetry down") == []


def test_down_of_a_native_run_leaves_compose_alone(door: Door) -> None:
    door.docker(containers="abc")
    assert door.open("down", LOOKOUT_RUNTIME="native").returncode == 0
    assert door.called("docker compose --profile telemetry down") == []


def test_clean_takes_the_volumes_too(door: Door) -> None:
    door.docker(containers="abc")
    assert door.open("clean").returncode == 0
    ended = ["docker compose --profile telemetry down --volumes --rmi local"]
    assert door.called("docker compose --profile telemetry down") == ended


def test_down_with_nothing_running_does_nothing(door: Door) -> None:
    assert door.open("down").returncode == 0
    assert door.called("python") == door.called("docker compose --profile telemetry down") == []


def test_compose_stack_that_stays_unhealthy_shows_the_logs_of_what_failed(door: Door) -> None:
    states = ("idp|running|healthy|0", "sidecar|restarting||1", "prepare|exited||0", "sink|running|unhealthy|0")
    door.docker(up_fails=True, states="\\n".join(states))
    result = door.open("up")
    assert result.returncode == 1
    assert "did not become healthy" in result.stderr
    assert [line.split()[-1] for line in door.called("docker compose logs")] == ["sidecar", "sink"]


def test_faults_reach_the_agents_of_either_runtime(door: Door) -> None:
    door.open("break", "cpu")
    door.docker()
    door.open("break", "cpu")
    assert door.called("python") == ["python -m deploy.native break cpu"]
    assert door.called("docker compose run")[0].endswith("demo.faults --control http://agents:9827 break cpu")


def test_moved_agents_move_as_a_range(door: Door) -> None:
    door.docker()
    door.program("bin/docker", '#!/bin/sh\necho "$LOOKOUT_AGENTS_PORTS" >> "$CALLS"\n')
    door.open("up", LOOKOUT_AGENTS_PORT="20000")
    assert set(door.called("")) == {"20000-20011"}


def test_word_that_is_no_command_is_refused_with_the_usage(door: Door) -> None:
    result = door.open("explode")
    assert result.returncode == 2
    assert "usage:" in result.stderr


def test_compose_reload_starts_a_service_again_whose_file_is_no_longer_the_mounted_one(door: Door) -> None:
    replaced, same = {"rules/prometheus.yml"}, {"alertmanager/generated/alertmanager.yml"}
    for name in replaced | same:
        (door.root / name).parent.mkdir(parents=True, exist_ok=True)
        (door.root / name).write_text("replaced" if name in replaced else "same", encoding="utf-8")
    door.program(
        "bin/docker", RECORDER + 'case "$*" in "compose exec"*) printf same;; "compose ps --quiet "*) echo id;; esac\n'
    )
    assert door.open("reload", LOOKOUT_RUNTIME="compose").returncode == 0
    restarted = {line.split()[-1] for line in door.called("docker compose restart")}
    assert restarted == {"prometheus"}
    signalled = {line.split()[-1] for line in door.called("docker compose kill --signal HUP")}
    assert signalled == {"exporter", "sidecar", "incident-desk", "alertmanager"}


def test_compose_reload_says_what_does_not_run_and_fails(door: Door) -> None:
    door.program("bin/docker", RECORDER + 'case "$*" in "compose ps --quiet sidecar") echo id;; esac\n')
    result = door.open("reload", LOOKOUT_RUNTIME="compose")
    assert result.returncode == 1
    assert "exporter: not running; `make up` starts it" in result.stderr
    assert "sidecar: not running" not in result.stderr


ENV_FILE = """\
# LOOKOUT_IDP_PORT=1
LOOKOUT_EXPORTER_PORT=20001
  export LOOKOUT_SINK_PORT = "20002" # quoted
LOOKOUT_ENGINE_PORT='20003'
LOOKOUT_GRAFANA_PORT=20004   # a remark
LOOKOUT_AGENTS_PORT=20100
COMPOSE_PROFILES=elsewhere
OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318
OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20x"
LOOKOUT_PROMETHEUS_PORT=20005"""


def variables_of_up(door: Door, **environ: str) -> dict[str, str]:
    (door.root / ".env").write_text(ENV_FILE, encoding="utf-8")
    door.program(".venv/bin/python", '#!/bin/sh\nenv >> "$CALLS"\n')
    assert door.open("up", **environ).returncode == 0
    pairs = (line.partition("=") for line in door.called("LOOKOUT_") + door.called("COMPOSE_") + door.called("OTEL_"))
    return {name: value for name, _, value in pairs}


def test_env_file_is_read_natively_too_for_our_own_names_and_those_of_telemetry(door: Door) -> None:
    assert variables_of_up(door) == {
        "LOOKOUT_EXPORTER_PORT": "20001",
        "LOOKOUT_SINK_PORT": "20002",
        "LOOKOUT_ENGINE_PORT": "20003",
        "LOOKOUT_GRAFANA_PORT": "20004",
        "LOOKOUT_AGENTS_PORT": "20100",
        "LOOKOUT_AGENTS_PORTS": "20100-20111",
        "LOOKOUT_PROMETHEUS_PORT": "20005",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20x",
    }


def test_environment_wins_over_the_env_file(door: Door) -> None:
    assert variables_of_up(door, LOOKOUT_SINK_PORT="30000")["LOOKOUT_SINK_PORT"] == "30000"


@pytest.mark.parametrize("text", ["", "\n", "OTHER=1\n"])
def test_env_file_without_our_names_changes_nothing(door: Door, text: str) -> None:
    (door.root / ".env").write_text(text, encoding="utf-8")
    result = door.open("up")
    assert (result.returncode, result.stderr) == (0, "")


def test_check_config_asks_either_runtime(door: Door) -> None:
    assert door.open("check-config").returncode == 0
    assert door.called("python") == ["python -m deploy.native check-config"]
    door.docker()
    result = door.open("check-config")
    assert (result.returncode, result.stdout) == (0, "exporter.yaml: valid\nsidecar.yaml: valid\ndesk.yaml: valid\n")
    prepare, exporter, sidecar, desk = door.called("docker compose run")
    assert prepare.endswith(" prepare")
    assert exporter.endswith(" exporter exporter --config=/etc/lookout/exporter/exporter.yaml --check")
    assert sidecar.endswith(" sidecar auth_sidecar --config=/etc/lookout/auth_sidecar/sidecar.yaml --check")
    assert desk.endswith(" incident-desk incident_desk --config=/etc/lookout/incident_desk/desk.yaml --check")


@pytest.mark.parametrize("named", ["pinned_tools: my/pins.json # mine\n", 'pinned_tools: "my/pins.json"\n'])
def test_tools_are_pinned_under_compose_into_the_file_of_the_user(door: Door, named: str) -> None:
    (door.root / "exporter/my").mkdir(parents=True)
    (door.root / "exporter/exporter.yaml").write_text(f"agents: []\n{named}", encoding="utf-8")
    pins = door.root / "exporter/my/pins.json"
    door.program("bin/docker", RECORDER + 'case "$*" in "compose exec"*) echo \'{}\';; esac\n')
    assert door.open("pin-tools", LOOKOUT_RUNTIME="compose").returncode == 0
    assert pins.read_text(encoding="utf-8") == "{}\n"
    door.program("bin/docker", "#!/bin/sh\nexit 2\n")
    assert door.open("pin-tools", LOOKOUT_RUNTIME="compose").returncode == 2
    assert [file.name for file in (door.root / "exporter/my").iterdir()] == ["pins.json"]
    assert pins.read_text(encoding="utf-8") == "{}\n"


def test_check_config_under_compose_names_the_files_of_the_user(door: Door) -> None:
    refusals = (
        'echo "/etc/lookout/exporter/exporter.yaml:3: bad, /etc/lookout/auth_sidecar/roles.yaml:4: bad" >&2; exit 2'
    )
    door.program("bin/docker", f'#!/bin/sh\ncase "$*" in *" exporter exporter "*) {refusals};; esac\n')
    result = door.open("check-config")
    assert result.returncode == 1
    assert result.stdout.splitlines() == [
        "exporter.yaml: refused",
        "exporter/exporter.yaml:3: bad, auth_sidecar/roles.yaml:4: bad",
        "sidecar.yaml: valid",
        "desk.yaml: valid",
    ]


def test_check_config_under_compose_shows_warnings_of_what_is_accepted(door: Door) -> None:
    said = 'echo "warning: /etc/lookout/exporter/exporter.yaml:3: odd" >&2; echo good'
    door.program("bin/docker", f'#!/bin/sh\ncase "$*" in *" exporter exporter "*) {said};; esac\n')
    result = door.open("check-config")
    assert result.returncode == 0
    assert result.stdout.splitlines()[:2] == ["exporter.yaml: valid", "warning: exporter/exporter.yaml:3: odd"]


@pytest.mark.parametrize(
    ("variable", "files"),
    [
        ("LOOKOUT_GRAFANA_PORT", {"rules/links.yaml", "exporter/exporter.yaml", "incident_desk/desk.yaml"}),
        ("LOOKOUT_EXPORTER_PORT", {"rules/links.yaml", "incident_desk/desk.yaml"}),
        ("LOOKOUT_INCIDENT_DESK_PORT", {"rules/links.yaml", "exporter/exporter.yaml", "incident_desk/desk.yaml"}),
        ("LOOKOUT_SIDECAR_PORT", {"auth_sidecar/sidecar.yaml", "docker-compose.yml"}),
    ],
)
def test_compose_up_says_which_files_still_name_the_default_of_a_moved_port(
    door: Door, variable: str, files: set[str]
) -> None:
    door.docker()
    said = door.open("up", **{variable: "20001"}).stderr
    assert said.startswith(f"warning: {variable}=20001, but ")
    assert said.count("warning:") == 1
    default = str(next(e.port for e in ENDPOINTS.values() if e.variable == variable))
    assert {name for name in re.findall(r"[\w/-]+\.ya?ml", said) if default in shipped(name).read_text()} == files


def test_default_ports_and_native_runs_need_no_warning(door: Door) -> None:
    assert door.open("up", LOOKOUT_GRAFANA_PORT="20001").stderr == ""
    door.docker()
    assert door.open("up", LOOKOUT_GRAFANA_PORT="3000", LOOKOUT_EXPORTER_PORT="").stderr == ""


def test_moved_port_of_the_env_file_is_warned_of_too(door: Door) -> None:
    door.docker()
    (door.root / ".env").write_text("LOOKOUT_GRAFANA_PORT=20001\n", encoding="utf-8")
    assert "warning: LOOKOUT_GRAFANA_PORT=20001" in door.open("up").stderr


def test_telemetry_adds_the_profile_to_those_of_the_environment(door: Door) -> None:
    door.docker()
    door.program("bin/docker", '#!/bin/sh\necho "$COMPOSE_PROFILES: docker $*" >> "$CALLS"\n')
    door.open("up", TELEMETRY="1", COMPOSE_PROFILES="mine")
    door.open("up", TELEMETRY="1")
    started = [line for line in door.called("") if "compose up" in line]
    assert [line.partition(":")[0] for line in started] == ["mine,telemetry", "telemetry"]


def test_telemetry_without_docker_is_refused_with_what_to_do(door: Door) -> None:
    result = door.open("up", TELEMETRY="1")
    assert result.returncode == 2
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in result.stderr
    assert door.called("python") == []
