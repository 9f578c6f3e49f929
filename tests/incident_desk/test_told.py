"""When people are told and when the desk says so: the generated routes in the real Alertmanager, a desk, a receiver."""

import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from incident_desk.incident import Incident
from tests.alertmanager.programs import Receiver, install, receiver
from tests.alertmanager.programs import running as running_program
from tests.incident_desk.made import TOKEN, Running, World, post, running, until
from tests.tools import tool

GENERATED, TEMPLATES = Path("alertmanager/generated/alertmanager.yml"), Path("alertmanager/templates")
WAIT_SECONDS, INTERVAL_SECONDS = 0.2, 3.0
STAGE_SECONDS = 1.0


@dataclass
class Stack:
    """An Alertmanager with the generated routes, whose channels a receiver takes and whose desk is ours."""

    desk: Running
    taken: Receiver
    url: str

    async def fire(self, *types: str) -> None:
        """Let the requests to agents of these types fail."""
        await post(f"{self.url}/api/v2/alerts", [high_error_rate(each) for each in types])

    async def until(self, condition: Callable[[], Any]) -> None:
        """Make rounds by the real time until something holds."""
        await until(self.desk, condition)

    def incidents(self) -> dict[str, Incident]:
        """Return the open incidents by type of agent."""
        return {each.labels["agent_type"]: each for each in self.desk.desk.store.open()}

    def slack(self, word: str) -> list[dict[str, Any]]:
        """Return the messages of the Slack channel in which a word stands."""
        posts = self.taken.posts.get("/slack", [])
        return [each["attachments"][0] for each in posts if word in str(each["attachments"])]

    def subjects(self, word: str) -> list[str]:
        """Return the subjects of mails in which a word stands."""
        return [str(mail["Subject"]) for mail in self.taken.mails if word in str(mail["Subject"])]


def high_error_rate(agent_type: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "labels": {
            "alertname": "HighErrorRate", "agent_type": agent_type,
            "severity": "major", "component": "workflows", "escalation": "standard",
        },
        "annotations": {"summary": f"Requests to {agent_type} agents fail", "description": "Many of them."},
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(hours=1)).isoformat(),
    }  # fmt: skip


@asynccontextmanager
async def stack(folder: Path) -> AsyncIterator[Stack]:
    async with receiver() as taken, running(folder, World(now=time.time())) as desk:
        file = install(folder, taken, GENERATED, TEMPLATES)
        (folder / "secrets/incident_desk_token").write_text(TOKEN)
        text = file.read_text().replace(f"{taken.url}/alerts", f"{desk.url}/alerts")
        text = re.sub(r"group_wait: \w+", f"group_wait: {WAIT_SECONDS * 1000:.0f}ms", text)
        file.write_text(re.sub(r"group_interval: \w+", f"group_interval: {INTERVAL_SECONDS * 1000:.0f}ms", text))
        command = [f"--config.file={file}", f"--storage.path={folder / 'data'}", "--web.listen-address=127.0.0.1:0"]
        async with running_program(
            tool("alertmanager", "new"), *command, "--cluster.listen-address=", cwd=folder
        ) as url:
            stages = "{escalations: {immediate: [{name: team_lead, after: 1h, channels: [team_lead]}], "
            stages += f"standard: [{{name: team_lead, after: {STAGE_SECONDS:.0f}s, channels: [team_lead]}}]}}}}"
            (folder / "escalation.yaml").write_text(stages)
            (folder / "desk.yaml").write_text((folder / "desk.yaml").read_text().replace(desk.world.url, url))
            await post(f"{desk.url}/-/reload")
            yield Stack(desk, taken, url)


async def test_what_joins_a_running_group_is_told_with_its_next_message_and_escalates_counted_from_there(
    tmp_path: Path,
) -> None:
    async with stack(tmp_path) as running:
        await running.fire("planner")
        await running.until(lambda: running.slack("planner"))
        await running.fire("validator")
        joined = time.time()
        await running.until(lambda: "validator" in running.incidents() or running.slack("validator"))
        arrived = time.time()
        assert arrived - joined > 2 * WAIT_SECONDS, "it did join a group that waits for its interval"
        await running.until(lambda: "validator" in running.incidents() and running.slack("validator"))
        assert time.time() - arrived < 0.5, "the desk hears of it when the channel does"
        told = running.incidents()["validator"].opened
        assert told - arrived < 0.5
        await running.until(lambda: running.incidents()["validator"].stages)
        [stage] = running.incidents()["validator"].stages
        assert stage.at >= told + STAGE_SECONDS


async def test_what_was_told_in_one_message_is_escalated_in_one_that_names_the_alert(tmp_path: Path) -> None:
    types = ("planner", "validator", "programmer")
    async with stack(tmp_path) as running:
        await running.fire(*types)
        await running.until(lambda: running.subjects("EscalationDue"))
        assert len(running.incidents()) == 3
        running.desk.desk.acknowledge([each.id for each in running.incidents().values()], "Ada")
        await running.until(lambda: running.subjects("RESOLVED"))
        firing, resolved = running.subjects("EscalationDue")
    assert firing == "[MAJOR] EscalationDue: HighErrorRate, 3 firing"
    assert re.fullmatch(r"\[RESOLVED\] EscalationDue: HighErrorRate, 3 places, resolved after \w+", resolved)
