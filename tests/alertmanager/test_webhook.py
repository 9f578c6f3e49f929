"""A channel that is a program: Alertmanager's JSON with a bearer token, at the beginning and at the end."""

from datetime import UTC, datetime
from pathlib import Path

from tests.alertmanager.test_intervals import generated
from tests.alertmanager.test_messages import Release, agent_down, both_releases, send, stack
from tests.alertmanager.test_receivers import GOOD

HOOK = "    webhook: [{url: http://sink:9823/hook, token_file: secrets/hook_token}]\n"


@both_releases
async def test_a_webhook_gets_the_alerts_and_their_end_with_its_token(tmp_path: Path, release: Release) -> None:
    text = GOOD.replace("  slack:\n    slack:\n", f"  slack:\n{HOOK}    slack:\n")
    (tmp_path / "receivers").mkdir()
    (tmp_path / "alertmanager").mkdir()
    config = generated(tmp_path / "receivers", text)
    async with stack(tmp_path / "alertmanager", release, config) as (url, taken):
        (tmp_path / "alertmanager" / "secrets" / "hook_token").write_text("of-the-hook")
        now = datetime.now(UTC)  # of older ones the first would be told at once
        await send(url, [agent_down("planner-1", started=now), agent_down("planner-2", started=now)])
        await taken.until(lambda seen: "/hook" in seen.posts)
        await send(url, [agent_down(name, started=now, ended=True) for name in ("planner-1", "planner-2")])
        # A flush may come between the ends of the two.
        await taken.until(lambda seen: seen.posts["/hook"][-1]["status"] == "resolved")
    assert taken.credentials["/hook"] == {"Bearer of-the-hook"}
    begin, *_, end = taken.posts["/hook"]
    assert (begin["version"], begin["status"], end["status"]) == ("4", "firing", "resolved")
    assert begin["groupKey"] == end["groupKey"]
    assert [alert["labels"]["agent"] for alert in begin["alerts"]] == ["planner-1", "planner-2"]
    assert begin["alerts"][0]["annotations"]["runbook_url"] == "http://localhost:9820/runbooks/agent_down"
    assert {alert["status"] for alert in end["alerts"]} == {"resolved"}
