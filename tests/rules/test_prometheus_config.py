"""The shipped prometheus.yml scrapes what the rules ask for, often enough for the windows they look at."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract.fields import parse_duration
from contract.ports import ENDPOINTS

ROOT = Path(__file__).resolve().parents[2]
CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "rules" / "prometheus.yml").read_text(encoding="utf-8"))
JOBS = {job["job_name"]: job for job in CONFIG["scrape_configs"]}
RULES = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "rules" / "generated").glob("*.yaml"))


def seconds_between_scrapes(job: str) -> float:
    return parse_duration(JOBS[job].get("scrape_interval", CONFIG["global"]["scrape_interval"]))


def test_every_job_that_a_rule_names_is_scraped() -> None:
    named = set(re.findall(r'\bjob="([\w-]+)"', RULES))
    assert named
    assert named <= set(JOBS)


def test_the_stack_is_scraped_every_fifteen_seconds_and_the_sidecar_every_five() -> None:
    assert {job: seconds_between_scrapes(job) for job in JOBS} == {
        "exporter": 15,
        "auth-sidecar": 5,
        "incident-desk": 15,
        "node-exporter": 15,
        "prometheus": 15,
        "alertmanager": 15,
        "demo": 15,
        "telemetry": 15,
        "spans": 15,
    }


def test_the_shortest_window_of_a_rule_holds_four_scrapes_of_the_sidecar() -> None:
    windows = [parse_duration(window) for window in re.findall(r"mcp_auth\w*(?:\{[^}]*\})?\[(\w+)\]", RULES)]
    assert min(windows) >= 4 * seconds_between_scrapes("auth-sidecar")


@pytest.mark.parametrize("file", ["docker-compose.yml", "deploy/native/services.py"])
def test_prometheus_keeps_what_the_longest_window_of_a_rule_looks_at(file: str) -> None:
    kept = re.findall(r"storage\.tsdb\.retention\.time=(\w+)", (ROOT / file).read_text(encoding="utf-8"))
    assert [parse_duration(time) > max(map(parse_duration, re.findall(r"\[(\w+)[\]:]", RULES))) for time in kept] == [
        True
    ]


def test_targets_are_endpoints_of_the_stack() -> None:
    known = {f"{endpoint.host}:{endpoint.port}" for endpoint in ENDPOINTS.values()}
    targets = {
        target for job in JOBS.values() for group in job.get("static_configs", ()) for target in group["targets"]
    }
    assert targets <= known


def test_every_job_is_limited() -> None:
    for job in JOBS.values():
        assert {"sample_limit", "label_limit", "label_value_length_limit", "body_size_limit"} <= set(job)
