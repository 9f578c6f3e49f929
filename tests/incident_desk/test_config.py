"""What --check refuses, with file, line and field, and what it warns of."""

from pathlib import Path
from typing import Any

import pytest

from contract.config import ConfigError
from incident_desk.config import load_settings
from tests.incident_desk.made import write

ALERTMANAGER = {"urls": "http://127.0.0.1:9093"}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "looks too far apart": (
        {"alertmanager": {**ALERTMANAGER, "interval": "10m"}},
        "alertmanager.interval: up to 10m30s pass between two looks",
    ),
    "answers awaited too long": (
        {"alertmanager": {**ALERTMANAGER, "timeout": "5m"}},
        "alertmanager.interval: up to 15m15s pass between two looks",
    ),
    "a folder as database": ({"database": "."}, "database: "),
    "every proxy trusted": (
        {"acknowledge": {"identity": {"trusted_proxies": ["10.0.0.5/32", "0.0.0.0/0"]}}},
        "acknowledge.identity.trusted_proxies: everybody is trusted",
    ),
    "every proxy trusted, in IPv6": (
        {"acknowledge": {"identity": {"trusted_proxies": "::/0"}}},
        "acknowledge.identity.trusted_proxies: everybody is trusted",
    ),
    "one token for two rights": (
        {"acknowledge": {"token_file": "webhook_token"}},
        "acknowledge.token_file: the same token as the webhook's",
    ),
    "no Alertmanager": ({"alertmanager": {"urls": []}}, "alertmanager.urls: "),
    "a URL that is none": ({"alertmanager": {"urls": ["http://a:9093", "b:9093"]}}, "alertmanager.urls.1: 'b:9093'"),
}


@pytest.mark.parametrize(("changes", "wanted"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused_with_its_place(tmp_path: Path, changes: dict[str, Any], wanted: str) -> None:
    file = write(tmp_path, {"alertmanager": ALERTMANAGER, **changes})
    with pytest.raises(ConfigError) as refused:
        load_settings(file)
    [problem] = refused.value.problems
    assert wanted in str(problem)
    assert problem.line > 0


def test_a_desk_that_everybody_may_acknowledge_at_is_warned_of(tmp_path: Path) -> None:
    changes = {"alertmanager": ALERTMANAGER, "acknowledge": {"everybody_from": "0.0.0.0/0"}}
    [warning] = load_settings(write(tmp_path, changes)).warnings
    assert "acknowledge.everybody_from: whoever reaches the desk may acknowledge" in str(warning)


def test_a_stage_out_of_order_is_named_with_its_line(tmp_path: Path) -> None:
    file = write(tmp_path, {"alertmanager": ALERTMANAGER})
    (tmp_path / "escalation.yaml").write_text(
        "escalations:\n"
        "  immediate:\n"
        "    - {name: lead, after: 15m, channels: [email]}\n"
        "    - {name: head, after: 10m, channels: [email]}\n"
        "  standard:\n"
        "    - {name: lead, after: 60m, channels: [email]}\n"
        "    - name: lead\n"
        "      after: 70m\n"
        "      channels: [email]\n"
    )
    with pytest.raises(ConfigError) as refused:
        load_settings(file)
    order, name = map(str, refused.value.problems)
    assert "escalation.yaml:4: escalations.immediate.1.after: head is not after lead" in order
    assert "escalation.yaml:7: escalations.standard.1.name: a second stage of the name lead" in name
