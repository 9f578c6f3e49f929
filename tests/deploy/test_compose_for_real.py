"""docker-compose.yml on a real engine: LOOKOUT_REHEARSAL=1 pytest tests/deploy/test_compose_for_real.py.

Opt-in, because it needs an engine and takes minutes. Where no registry is reachable images of the same names are made
from Debian packages (tests/deploy/standins.py), which needs root.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from contract.ports import ENDPOINTS, port
from deploy.urls import PAGES
from tests.deploy.standins import ROOT, needed, provide
from tests.e2e.stack import free_ports

if os.environ.get("LOOKOUT_REHEARSAL") != "1":
    pytest.skip("opt-in: LOOKOUT_REHEARSAL=1, needs a Docker engine", allow_module_level=True)


class Stack:
    """A compose project of its own on free ports."""

    def __init__(self) -> None:
        moved = free_ports()
        self.ports = {name: port(name, moved) for name in ENDPOINTS}
        self.environ = {
            **os.environ,
            **moved,
            "COMPOSE_PROJECT_NAME": "lookout-rehearsal",
            "LOOKOUT_RUNTIME": "compose",
        }

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=ROOT, env=self.environ, capture_output=True, text=True, timeout=900)

    def door(self, *arguments: str) -> str:
        """Call deploy/stack.sh as make does."""
        result = self.run("deploy/stack.sh", *arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def inside(self, service: str, *command: str) -> subprocess.CompletedProcess[str]:
        return self.run("docker", "compose", "exec", "--no-TTY", service, *command)

    def containers(self) -> dict[str, dict[str, Any]]:
        """Return what the engine knows of each container, by service."""
        names = self.run("docker", "compose", "ps", "--all", "--quiet").stdout.split()
        known = json.loads(self.run("docker", "inspect", *names).stdout) if names else []
        return {container["Config"]["Labels"]["com.docker.compose.service"]: container for container in known}

    def get(self, endpoint: str, path: str) -> str:
        with urlopen(f"http://127.0.0.1:{self.ports[endpoint]}{path}", timeout=10) as answer:
            return str(answer.read().decode())


def wait_until(holds: Callable[[], object], seconds: float = 120) -> None:
    """Wait until the condition holds; fail with its last value when it does not in time."""
    deadline = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < deadline, f"still {value!r} after {seconds} s"
        time.sleep(1)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The stack, started as `make up` does, and removed with its volumes."""
    made = Stack()
    assert made.run("docker", "info").returncode == 0, "no Docker engine answers (DOCKER_HOST names another)"
    for image in needed():
        print(f"{image}: {provide(image)}")
    try:
        said = made.door("up")
        assert f"http://localhost:{made.ports['grafana']}/" in said
        yield made
    finally:
        made.run("docker", "compose", "--profile", "tools", "down", "--volumes")


def test_every_container_is_healthy_and_was_never_restarted(stack: Stack) -> None:
    for name, container in stack.containers().items():
        state = container["State"]
        if name == "prepare":
            assert (state["Status"], state["ExitCode"]) == ("exited", 0)
        else:
            assert (name, state["Health"]["Status"]) == (name, "healthy")
        assert (name, container["RestartCount"], state["OOMKilled"]) == (name, 0, False)


@pytest.mark.parametrize(("title", "endpoint", "path"), PAGES, ids=[page[0] for page in PAGES])
def test_every_page_answers(stack: Stack, title: str, endpoint: str, path: str) -> None:
    assert stack.get(endpoint, path), title


def test_every_port_is_published_on_loopback_only(stack: Stack) -> None:
    bindings = [b for c in stack.containers().values() for b in (c["NetworkSettings"]["Ports"] or {}).values() if b]
    assert {binding["HostIp"] for published in bindings for binding in published} == {"127.0.0.1"}


NOTIFY = {"slack_url", "pagerduty_routing_key", "incident_desk_token"}
OURS = ["exporter", "sidecar", "incident-desk", "sink"]


@pytest.mark.parametrize("service", [*OURS, "prometheus", "alertmanager", "node-exporter"])
def test_process_is_unprivileged_on_a_read_only_root(stack: Stack, service: str) -> None:
    assert int(stack.inside(service, "id", "-u").stdout) == 65534
    assert "Read-only file system" in stack.inside(service, "touch", "/x").stderr


@pytest.mark.parametrize(
    ("service", "folder", "expected"),
    [
        ("sidecar", "/etc/lookout/secrets", {"audit_key", "sidecar_admin_token"}),
        ("alertmanager", "/etc/alertmanager/secrets", NOTIFY),
        ("sink", "/secrets/notify", NOTIFY),
        ("incident-desk", "/etc/lookout/secrets", {"incident_desk_token"}),
    ],
)
def test_service_sees_only_its_own_secrets(stack: Stack, service: str, folder: str, expected: set[str]) -> None:
    assert set(stack.inside(service, "ls", folder).stdout.split()) == expected


def test_whoever_comes_through_the_port_of_this_machine_may_acknowledge(stack: Stack) -> None:
    form = urlencode({"incident": 1, "by": "Ada"}).encode()
    address = f"http://127.0.0.1:{stack.ports['incident_desk']}/acknowledge"
    with pytest.raises(HTTPError) as refused:
        urlopen(Request(address, form), timeout=10)
    refused.value.close()
    assert refused.value.code == 404, "there is no such incident yet; who may not is told 403"


def test_alertmanager_tells_the_desk_what_people_are_told(stack: Stack) -> None:
    def incidents() -> list[str]:
        return [each["alert"] for each in json.loads(stack.get("incident_desk", "/incidents"))["incidents"]]

    alert = {"labels": {"alertname": "SomebodysOwn", "severity": "critical"}}
    body = json.dumps([alert]).encode()
    headers = {"Content-Type": "application/json"}
    address = f"http://127.0.0.1:{stack.ports['alertmanager']}/api/v2/alerts"
    urlopen(Request(address, body, headers), timeout=10).close()
    wait_until(lambda: "SomebodysOwn" in incidents())


def test_prometheus_scrapes_every_target_and_evaluates_every_rule(stack: Stack) -> None:
    def unhealthy() -> list[str]:
        targets = json.loads(stack.get("prometheus", "/api/v1/targets"))["data"]["activeTargets"]
        groups = json.loads(stack.get("prometheus", "/api/v1/rules"))["data"]["groups"]
        assert len(targets) >= 5
        assert groups
        sick = [target["labels"]["job"] for target in targets if target["health"] != "up"]
        return sick + [rule["name"] for group in groups for rule in group["rules"] if rule["health"] != "ok"]

    # The slowest group is evaluated every five minutes; until then its rules are "unknown".
    wait_until(lambda: not unhealthy(), 330)


def healthy_agents(stack: Stack) -> int:
    lines = stack.get("exporter", "/metrics").splitlines()
    return int(sum(float(line.split()[-1]) for line in lines if line.startswith("mcp_agents_healthy{")))


def test_all_twelve_agents_are_healthy(stack: Stack) -> None:
    wait_until(lambda: healthy_agents(stack) == 12)


def test_workflows_run_through_the_sidecar(stack: Stack) -> None:
    def completed() -> int:
        return int(json.loads(stack.get("engine", "/workflows"))["workflows"][0]["runs"]["completed"])

    wait_until(lambda: completed() > 0)
    allowed = [line for line in stack.get("sidecar_admin", "/metrics").splitlines() if 'result="allow"' in line]
    assert sum(float(line.split()[-1]) for line in allowed) > 0


def test_broken_agent_is_seen_and_healed(stack: Stack) -> None:
    wait_until(lambda: healthy_agents(stack) == 12)
    assert f"http://localhost:{stack.ports['exporter']}" in stack.door("break", "agent-down")
    wait_until(lambda: healthy_agents(stack) == 11)
    stack.door("heal")
    wait_until(lambda: healthy_agents(stack) == 12)


def test_reload_is_taken_by_every_service_that_can(stack: Stack) -> None:
    stack.door("reload")
    for endpoint, metric in (
        ("exporter", "mcp_config_last_reload_successful"),
        ("sidecar_admin", "mcp_config_last_reload_successful"),
        ("incident_desk", "mcp_config_last_reload_successful"),
        ("prometheus", "prometheus_config_last_reload_successful"),
        ("alertmanager", "alertmanager_config_last_reload_successful"),
    ):
        lines = stack.get(endpoint, "/metrics").splitlines()
        assert [line.split()[-1] for line in lines if line.startswith(metric)] == ["1.0" if "mcp" in metric else "1"]


def test_up_twice_keeps_every_container(stack: Stack) -> None:
    before = {name: container["Id"] for name, container in stack.containers().items()}
    stack.door("up")
    after = {name: container["Id"] for name, container in stack.containers().items()}
    assert {name: after[name] for name in before} == before


def test_secrets_and_data_survive_down_and_up(stack: Stack) -> None:
    before = stack.inside("sink", "cat", "/secrets/notify/slack_url").stdout
    runs = stack.get("prometheus", "/api/v1/query?query=min(prometheus_tsdb_lowest_timestamp_seconds)")
    stack.door("down")
    assert stack.containers() == {}
    stack.door("up")
    assert stack.inside("sink", "cat", "/secrets/notify/slack_url").stdout == before
    assert json.loads(runs)["status"] == "success"
