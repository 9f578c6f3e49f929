"""Programs without pages are recognised by what they answer; the PATH's are preferred for use."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from contract.ports import free_port
from deploy.native.runner import Runner
from deploy.native.services import Table
from deploy.native.ui import advice, still_firing, too_old_grafana, without_pages
from tests.deploy.test_layout import layout
from tests.tools import tool


@contextmanager
def page(text: str) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_real_debian_programs_are_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = {name: str(free_port()) for name in ("LOOKOUT_PROMETHEUS_PORT", "LOOKOUT_ALERTMANAGER_PORT")}
    made = layout(tmp_path)
    made.write(ports)
    table, runner = Table(made, {"PATH": "", **ports}), Runner(made.state, ready_within_seconds=30)
    assert all(tool(name).exists() for name in ("prometheus", "alertmanager"))  # fetched where they are missing
    monkeypatch.setenv("PATH", str(tmp_path))
    chosen = [service for service in table.services() if service.name in ("prometheus", "alertmanager")]
    try:
        runner.up([replace(service, check=None) for service in chosen])
        assert without_pages((s.name, table.url(s.name, "/")) for s in chosen) == [s.name for s in chosen]
    finally:
        runner.down()


def test_program_with_pages_needs_no_advice() -> None:
    with page("<title>Prometheus Time Series Collection and Processing Server</title>") as url:
        assert without_pages([("Prometheus", url)]) == []


def test_words_are_found_across_lines() -> None:
    with page("This Debian\n  package of it does\n not  include a UI") as url:
        assert without_pages([("Prometheus", url)]) == ["Prometheus"]


def test_program_that_does_not_answer_needs_no_advice() -> None:
    assert without_pages([("Prometheus", f"http://127.0.0.1:{free_port()}/")]) == []


def test_advice_is_one_line_that_says_how_to_get_the_pages() -> None:
    text = advice(["Prometheus", "Alertmanager"])
    assert text.startswith("Prometheus and Alertmanager: API only")
    assert "on the PATH" in text
    assert "Docker" in text
    assert "\n" not in text


def test_prometheus_of_the_path_wins_over_the_unpacked_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tool("prometheus").exists()
    mine = tmp_path / "prometheus"
    mine.write_text("#!/bin/sh\necho 'prometheus, version 3.5.0 (branch: HEAD)'\n", encoding="utf-8")
    mine.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = {service.name: service for service in Table(layout(tmp_path), {}).services()}
    assert found["prometheus"].command[0] == str(mine)
    assert tool("prometheus") != mine


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('{"database": "ok", "version": "9.2.0-pre"}', "Grafana 9.2.0-pre may work, but is older than 11"),
        ('{"database": "ok", "version": "11.0.0"}', ""),
        ('{"database": "ok"}', ""),
        ("no JSON", ""),
    ],
)
def test_grafana_older_than_supported_is_told(answer: str, said: str) -> None:
    with page(answer) as url:
        found = too_old_grafana(url)
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_alerts_that_fire_at_the_end_are_named_once() -> None:
    alerts = [{"labels": {"alertname": name}} for name in ("HighErrorRate", "AgentDown", "HighErrorRate")]
    with page(json.dumps(alerts)) as url:
        assert still_firing(url).startswith("Still firing: AgentDown, HighErrorRate. ")
    with page("[]") as url:
        assert still_firing(url) == ""
    assert still_firing(f"http://127.0.0.1:{free_port()}/") == ""
