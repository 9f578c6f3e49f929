"""Mistakes in the receivers file are all reported at once, with file, line, field and mend."""

import subprocess
import sys
from pathlib import Path

import pytest

from alertmanager.__main__ import main

GOOD = Path("alertmanager/receivers.yaml").read_text()
POLICIES = Path("rules/policies")
STAGES = Path("rules/escalation.yaml").read_text()


def run(tmp_path: Path, text: str, *extra: str, policies: Path = POLICIES) -> int:
    file = tmp_path / "receivers.yaml"
    file.write_text(text)
    return main(["--receivers", str(file), "--policies", str(policies), "--out", str(tmp_path / "out"), *extra])


def problems(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, *extra: str) -> list[str]:
    with pytest.raises(SystemExit) as ended:
        run(tmp_path, text, *extra)
    assert ended.value.code == 2
    assert not (tmp_path / "out").exists()
    return capsys.readouterr().err.replace(f"{tmp_path}/", "").splitlines()[:-1]


def test_the_committed_file_is_good_and_generates_the_same_bytes_twice(tmp_path: Path) -> None:
    assert run(tmp_path, GOOD) == 0
    first = (tmp_path / "out" / "alertmanager.yml").read_bytes()
    assert first == Path("alertmanager/generated/alertmanager.yml").read_bytes()
    assert run(tmp_path, GOOD, "--check") == 0


def test_check_shows_the_difference_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, GOOD)
    assert run(tmp_path, GOOD.replace("#mcp-alerts", "#other"), "--check") == 1
    assert "+  - channel: '#other'" in capsys.readouterr().out


def test_a_channel_that_no_receiver_defines_is_reported_at_the_policy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = GOOD.replace("  security_team:", "  security_crew:")
    [problem] = [line for line in problems(tmp_path, capsys, text) if "security_breach" in line]
    lines = (POLICIES / "security.yaml").read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "security_team" in text)
    assert problem.startswith(f"rules/policies/security.yaml:{line}: policies.security_breach.channels.3: ")
    assert "unknown channel security_team (define it among the receivers, or use one of slack" in problem


def test_every_mistake_is_reported_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = """\
fallback: nowhere
channels:
  slack:
    slack:
      - chanel: "#x"
        api_url_file: https://hooks.slack.com/services/T/B/x
  mail:
    email:
      - to: [somebody]
  empty: {}
timing:
  critical: {group_wait: 10, group_interval: 1m, repeat_interval: 90s}
"""
    found = problems(tmp_path, capsys, text)
    assert [line.split(": ")[0:2] for line in found] == [
        ["receivers.yaml:5", "channels.slack.slack.0.chanel"],
        ["receivers.yaml:5", "channels.slack.slack.0.channel"],
        ["receivers.yaml:6", "channels.slack.slack.0.api_url_file"],
        ["receivers.yaml:9", "channels.mail.email.0.to.0"],
        ["receivers.yaml:10", "channels.empty"],
        ["receivers.yaml:12", "timing.critical.group_wait"],
    ]
    assert "write secrets/<name>" in found[2]


def test_a_mail_channel_needs_a_mail_server_and_the_fallback_must_exist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "fallback: nowhere\nchannels:\n  slack:\n    email:\n      - to: [a@b.example]\n"
    found = problems(tmp_path, capsys, text)
    assert found == [
        "receivers.yaml:1: fallback: unknown channel nowhere (name one of slack)",
        "receivers.yaml:4: channels.slack.email: no mail server to send by (add smtp: {smarthost: …, from: …})",
    ]


def test_repeats_off_the_beat_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = GOOD + "timing:\n  critical: {group_wait: 10s, group_interval: 1m, repeat_interval: 90s}\n"
    [problem] = problems(tmp_path, capsys, text)
    assert "timing.critical: repeat_interval is no multiple of group_interval" in problem


def test_a_missing_and_an_empty_secret_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "slack_url").write_text("\n")
    found = problems(tmp_path, capsys, GOOD, "--secrets", str(secrets))
    assert [problem.split(": ", 1)[1] for problem in found] == [
        "channels.slack.slack.0.api_url_file: the secret at secrets/slack_url is empty "
        "(write the secret into that file)",
        "channels.pagerduty.pagerduty.0.routing_key_file: no secret at secrets/pagerduty_routing_key "
        "(write the secret into that file)",
        "incident_desk.token_file: no secret at secrets/incident_desk_token (write the secret into that file)",
    ]


def test_secrets_that_are_there_are_accepted(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name in ("slack_url", "pagerduty_routing_key", "incident_desk_token"):
        (secrets / name).write_text("x")
    assert run(tmp_path, GOOD, "--secrets", str(secrets)) == 0


def test_stages_of_escalation_with_mistakes_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stages = tmp_path / "escalation.yaml"
    stages.write_text(STAGES.replace("[management]", "[manegement]"))
    [problem] = problems(tmp_path, capsys, GOOD, "--escalation", str(stages))
    assert problem.startswith("escalation.yaml:6: escalations.immediate.1.channels.0: unknown channel manegement")
    stages.write_text(STAGES.replace("45m", "5m"))
    [problem] = problems(tmp_path, capsys, GOOD, "--escalation", str(stages))
    assert "escalations.immediate.1.after: management is not after team_lead" in problem
    stages.write_text(STAGES.replace("name: management", "name: team_lead"))
    [problem] = problems(tmp_path, capsys, GOOD, "--escalation", str(stages))
    assert "escalations.immediate.1.name: a second stage of the name team_lead" in problem
    stages.write_text(STAGES[: STAGES.index("  standard")])
    [problem] = problems(tmp_path, capsys, GOOD, "--escalation", str(stages))
    assert "escalation standard has no stages" in problem


def test_without_a_desk_no_route_leads_to_one_and_the_fallback_is_as_it_was(tmp_path: Path) -> None:
    run(tmp_path, GOOD[: GOOD.index("# Keeps the history")] + GOOD[GOOD.index("smtp:") :])
    text = (tmp_path / "out" / "alertmanager.yml").read_text()
    assert "incident-desk" not in text
    assert "EscalationDue" not in text
    assert "alertname!~" not in text


def test_mistakes_in_policies_and_receivers_are_reported_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "mine.yaml").write_text("component: agents\npolicies: {Bad-Name: {}}\n")
    with pytest.raises(SystemExit):
        run(tmp_path, "fallback: x\nchannels: {}\n", policies=policies)
    errors = capsys.readouterr().err
    assert "mine.yaml:2" in errors
    assert "receivers.yaml:2" in errors


def test_the_command_ends_with_code_2_and_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "alertmanager", "--receivers", str(tmp_path / "none.yaml"), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "none.yaml:1: the file does not exist" in done.stderr
    assert "Traceback" not in done.stderr
