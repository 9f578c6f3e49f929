"""A native run has no telemetry profile, and its Prometheus looks for none of it."""

from pathlib import Path

import pytest
import yaml

from deploy.native.layout import ROOT, Layout
from deploy.native.profile import HOSTS, without_profile

COMMITTED = (ROOT / "rules/prometheus.yml").read_text(encoding="utf-8")
BEFORE = "scrape_configs:\n  - job_name: exporter\n    static_configs: [{targets: [exporter:9820]}]\n"
AFTER = "  - job_name: last\n    static_configs: [{targets: [last:1]}]\n"


def jobs(text: str) -> dict[str, dict[str, object]]:
    return {job["job_name"]: job for job in yaml.safe_load(text)["scrape_configs"]}


def test_the_native_copy_looks_for_no_host_of_the_profile_and_keeps_every_other_job(tmp_path: Path) -> None:
    made = Layout(tmp_path / "native")
    made.write({})
    copied = jobs((made.etc / "prometheus/prometheus.yml").read_text(encoding="utf-8"))
    assert not [name for name, job in copied.items() if "dns_sd_configs" in job]
    assert set(jobs(COMMITTED)) - set(copied) == {"telemetry", "spans"}


def test_what_compose_reads_finds_the_hosts_of_the_profile_by_their_names() -> None:
    named = [name for job in jobs(COMMITTED).values() for one in job.get("dns_sd_configs", ()) for name in one["names"]]  # type: ignore[attr-defined]
    assert set(named) == HOSTS


@pytest.mark.parametrize(
    "job",
    [
        "  - job_name: spans\n    dns_sd_configs:\n      - {names: [otel-collector], type: A, port: 8889}\n",
        "  - {job_name: spans, dns_sd_configs: [{names: [loki, tempo], port: 1}]}\n",
    ],
)
def test_lines_keep_their_numbers(job: str) -> None:
    assert without_profile(BEFORE + job + AFTER) == BEFORE + "\n" * job.count("\n") + AFTER
    assert without_profile(BEFORE + job) == BEFORE + "\n" * job.count("\n")


@pytest.mark.parametrize(
    "job",
    [
        "  - job_name: own\n    dns_sd_configs: [{names: [tempo.example.com], port: 1}]\n",
        "  - job_name: own\n    dns_sd_configs: [{names: [tempo, other], port: 1}]\n",
        "  - job_name: own\n    dns_sd_configs: [{names: [tempo]}]\n    static_configs: [{targets: [a:1]}]\n",
        "  - job_name: [\n",
        "  - nothing\n",
    ],
)
def test_jobs_of_ones_own_and_mistakes_stay(job: str) -> None:
    assert without_profile(BEFORE + job) == BEFORE + job
    assert without_profile("") == ""
