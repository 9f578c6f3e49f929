"""Compose's names become this machine's, and nothing else changes."""

from pathlib import Path

import pytest

from deploy.native.translate import Translator

MOVED = {"LOOKOUT_SINK_PORT": "41008", "LOOKOUT_AGENTS_PORT": "41030", "LOOKOUT_EXPORTER_PORT": "41005"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://prometheus:9090", "http://127.0.0.1:9090"),
        ("http://sink:9823/services/T1", "http://127.0.0.1:41008/services/T1"),
        ("smarthost: sink:9825", "smarthost: 127.0.0.1:9825"),
        ("http://agents:9830/mcp", "http://127.0.0.1:41030/mcp"),
        ("http://agents:9841/mcp", "http://127.0.0.1:41041/mcp"),
        ("targets: [exporter:9820]", "targets: [127.0.0.1:41005]"),
        ("http://localhost:9820/runbooks/x", "http://localhost:41005/runbooks/x"),
        ("targets: [node-exporter:9100, exporter:9820]", "targets: [127.0.0.1:9100, 127.0.0.1:41005]"),
        ("http://idp:9824/token;sink:9823", "http://127.0.0.1:9824/token;127.0.0.1:41008"),
        ("/etc/lookout/secrets/x", "/state/etc/secrets/x"),
    ],
)
def test_names_of_the_stack_are_translated(text: str, expected: str) -> None:
    assert Translator({"/etc/lookout": Path("/state/etc")}, MOVED)(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "my-sink:9823",
        "sink:98230",
        "sink:9999",
        "agents:9842",
        "https://sink.example:9823",
        "/etc/lookout-old/x",
        "/srv/etc/lookout.d",
        "sink",
        "hosts: [localhost, sidecar]",
    ],
)
def test_what_only_looks_alike_stays(text: str) -> None:
    assert Translator({"/etc/lookout": Path("/state/etc")}, MOVED)(text) == text


def test_port_that_is_none_is_named_with_its_variable() -> None:
    with pytest.raises(ValueError, match="LOOKOUT_SINK_PORT"):
        Translator({}, {"LOOKOUT_SINK_PORT": "ninety"})
