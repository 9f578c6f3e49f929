"""A real Prometheus reads its configuration again by SIGHUP, and says truthfully when it did not."""

from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from contract.ports import free_port
from deploy.native import packages, process
from deploy.native.layout import Layout
from deploy.native.reload import HangUp
from deploy.native.runner import Port, RunError, Runner, Service
from deploy.native.services import Table

GOOD = "global: {scrape_interval: %s}\n"


@pytest.fixture
def prometheus(tmp_path: Path) -> Service:
    """A Prometheus that scrapes nothing; it is not started."""
    packages.fetch_missing(("prometheus",))
    port, file = free_port(), tmp_path / "prometheus.yml"
    file.write_text(GOOD % "30s", encoding="utf-8")
    address = f"127.0.0.1:{port}"
    return Service(
        name="prometheus",
        command=(
            str(packages.locate_for_use("prometheus")),
            f"--config.file={file}",
            f"--web.listen-address={address}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
        ),
        ready=f"http://{address}/-/ready",
        ports=(Port(port, "LOOKOUT_PROMETHEUS_PORT"),),
        config=(file,),
        reload=HangUp(f"http://{address}/metrics", "prometheus", patience_seconds=5),
    )


@pytest.fixture
def runner(tmp_path: Path, prometheus: Service) -> Iterator[Runner]:
    made = Runner(tmp_path / "state")
    made.up([prometheus])
    yield made
    made.down()


def configuration(prometheus: Service) -> str:
    with urlopen(prometheus.ready.replace("-/ready", "api/v1/status/config"), timeout=5) as answer:  # noqa: S310
        return str(answer.read().decode())


def write(prometheus: Service, text: str) -> None:
    prometheus.config[0].write_text(text, encoding="utf-8")


def test_prometheus_reads_again_in_place(runner: Runner, prometheus: Service) -> None:
    before = process.recall(runner.records)["prometheus"].pid
    for interval in ("20s", "10s"):
        write(prometheus, GOOD % interval)
        runner.up([prometheus])
        assert f"scrape_interval: {interval}" in configuration(prometheus)
    assert process.recall(runner.records)["prometheus"].pid == before


def test_a_refusal_is_told_with_the_words_of_the_log_however_often(runner: Runner, prometheus: Service) -> None:
    write(prometheus, "scrape_interval: 20s\n")
    for _ in range(2):
        with pytest.raises(RunError, match=r"(?s)keeps the one before: .*scrape_interval not found"):
            runner.up([prometheus])
    assert "scrape_interval: 30s" in configuration(prometheus)
    write(prometheus, GOOD % "20s")
    runner.up([prometheus])
    assert "scrape_interval: 20s" in configuration(prometheus)


def test_no_page_in_the_browser_can_end_or_reload_prometheus(
    tmp_path: Path, runner: Runner, prometheus: Service
) -> None:
    (native,) = [each for each in Table(Layout(tmp_path / "native")).services() if each.name == "prometheus"]
    assert not [flag for flag in native.command if "lifecycle" in flag or "admin-api" in flag]
    for path in ("quit", "reload"):
        with pytest.raises(HTTPError, match="403"):
            urlopen(Request(prometheus.ready.replace("ready", path), method="POST"), timeout=5)  # noqa: S310
