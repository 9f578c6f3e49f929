"""Labels: none is longer than what our own Prometheus takes."""

from pathlib import Path

import pytest
import yaml

from contract.vocabulary import ProbeOutcome
from exporter.jsonrpc import label_of
from exporter.label_values import MAX_LABEL_BYTES, checked, cut
from exporter.mcp_client import Discovery, read_discover
from exporter.probes import health_json
from tests.exporter.servers import DISCOVERED, rpc_result
from tests.exporter.test_mcp_client import answer

BOMB = "\U0001f4a5"
"""Four bytes of UTF-8."""


def test_longest_label_is_within_the_limit_of_our_prometheus() -> None:
    jobs = yaml.safe_load(Path("rules/prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    (limit,) = [job["label_value_length_limit"] for job in jobs if job["job_name"] == "exporter"]
    assert limit >= MAX_LABEL_BYTES


def test_label_is_measured_in_bytes() -> None:
    assert checked(BOMB * 62) == BOMB * 62
    with pytest.raises(ValueError, match="252 bytes are too long for a label; use at most 250"):
        checked(BOMB * 63)


def test_cut_label_is_whole_characters() -> None:
    assert cut(BOMB * 100) == BOMB * 62
    assert cut("short") == label_of("short") == "short"
    assert label_of(None) == label_of(["x"]) == ""


def test_what_a_server_says_of_itself_fits_into_labels() -> None:
    info = {"name": BOMB * 64, "version": "\u20ac" * 100}
    read = read_discover(answer(200, rpc_result({**DISCOVERED, "_meta": {"io.modelcontextprotocol/serverInfo": info}})))
    assert isinstance(read, Discovery)
    assert len(read.identity.server_name.encode()) <= MAX_LABEL_BYTES
    assert len(read.identity.server_version.encode()) <= MAX_LABEL_BYTES


def test_what_a_health_document_says_of_itself_fits_into_labels() -> None:
    body = f'{{"status": "pass", "serviceId": "{BOMB * 64}", "version": "{BOMB * 64}"}}'
    outcome, _, identity = health_json.read(answer(200, body))
    assert outcome is ProbeOutcome.OK
    assert identity is not None
    assert len(identity.server_name.encode()) == len(identity.server_version.encode()) == 248
