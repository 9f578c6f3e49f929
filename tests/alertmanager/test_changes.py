"""A change of one policy tells nobody again of the alerts of others, and every incident ends as it began."""

import shutil
from pathlib import Path

import aiohttp

from alertmanager.__main__ import main
from tests.alertmanager.programs import install
from tests.alertmanager.test_messages import TEMPLATES, Release, agent_down, both_releases, reached_all, send, stack

POLICIES = Path("rules/policies")


def generated(folder: Path, policies: Path) -> Path:
    assert main(["--policies", str(policies), "--out", str(folder)]) == 0
    return folder / "alertmanager.yml"


def changed(folder: Path) -> Path:
    """Return policies in which an alert of agents goes to PagerDuty too."""
    policies = folder / "policies"
    shutil.copytree(POLICIES, policies)
    file = policies / "agents.yaml"
    text = file.read_text()
    before, flapping, after = text.partition("  agent_flapping:\n")
    more = after.replace("channels: [slack]", "channels: [slack, email, pagerduty]", 1)
    assert more != after
    file.write_text(before + flapping + more)
    return policies


@both_releases
async def test_a_change_of_other_policies_neither_tells_again_nor_leaves_an_incident_open(
    tmp_path: Path, release: Release
) -> None:
    (tmp_path / "am").mkdir()
    async with stack(tmp_path / "am", release, generated(tmp_path / "before", POLICIES)) as (url, taken):
        await send(url, [agent_down()])
        await taken.until(reached_all)
        install(tmp_path / "am", taken, generated(tmp_path / "after", changed(tmp_path)), TEMPLATES)
        async with aiohttp.ClientSession() as session, session.post(f"{url}/-/reload") as answer:
            assert answer.status == 200, await answer.text()
        other = agent_down("validator-1")
        other["labels"] |= {"alertname": "AgentFlapping", "severity": "minor"}
        await send(url, [other])  # its group waits as long as the first one had, were it new
        await taken.until(lambda seen: reached_all(seen, 2))
        await send(url, [agent_down(ended=True), other])
        await taken.until(lambda seen: reached_all(seen, 3))
    events = [
        (event["event_action"], event["payload"]["summary"].split(":")[0]) for event in taken.posts["/v2/enqueue"]
    ]
    assert events == [
        ("trigger", "[CRITICAL] AgentDown"),
        ("trigger", "[MINOR] AgentFlapping"),
        ("resolve", "[RESOLVED] AgentDown"),
    ]
    begun, _, ended = (event["dedup_key"] for event in taken.posts["/v2/enqueue"])
    assert begun == ended
