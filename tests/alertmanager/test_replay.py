"""Every policy of the pack, replayed through real Prometheus and Alertmanager, reaches exactly its channels."""

import time
from pathlib import Path

import pytest
import yaml

from rules import links, pack
from tests.alertmanager import replay
from tests.alertmanager.programs import Receiver, install, receiver, running
from tests.alertmanager.test_messages import GENERATED, TEMPLATES, Release, both_releases
from tests.tools import tool

PACK = pack.read(Path("rules/policies"))
LINKS = links.read(Path("rules/links.yaml"))
PEOPLE = {"on-call@lookout.example": "email", "security-team@lookout.example": "security_team"}


def reached(taken: Receiver) -> set[tuple[str, str]]:
    """Return who heard of which alert."""
    slack = (post["attachments"][0]["title"] for post in taken.posts.get("/slack", ()))
    pagerduty = (post["payload"]["class"] for post in taken.posts.get("/v2/enqueue", ()) if "payload" in post)
    return {
        *(("slack", title.split("] ")[1].split(":")[0]) for title in slack),
        *(("pagerduty", name) for name in pagerduty),
        *((PEOPLE[mail["To"]], mail["Subject"].split("] ")[1].split(":")[0]) for mail in taken.mails),
    }


def lay_out(folder: Path, release: Release, alertmanager: str) -> None:
    lines = [line for policy in PACK for line in replay.samples(policy, time.time())]
    replay.backfill(tool("promtool", release), lines, folder / "data")
    rules = [replay.rule(policy, LINKS) for policy in PACK]
    config = {
        "global": {"evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.removeprefix("http://")]}]}]},
    }
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "replay", "rules": rules}]}))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))


@both_releases
async def test_every_policy_fires_and_reaches_exactly_its_channels(tmp_path: Path, release: Release) -> None:
    wanted = {(channel, policy.alert) for policy in PACK for channel in policy.terms.channels}
    (tmp_path / "am").mkdir()
    async with receiver() as taken:
        config = install(tmp_path / "am", taken, GENERATED, TEMPLATES)
        # Causes and symptoms all fire here at once; what holds what back is another test's.
        config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), "inhibit_rules": []}))
        alertmanager: list[str | Path] = [
            tool("alertmanager", release),
            f"--config.file={config}",
            f"--storage.path={tmp_path / 'am-data'}",
            "--web.listen-address=127.0.0.1:0",
            "--cluster.listen-address=",
        ]
        async with running(*alertmanager, cwd=tmp_path / "am") as url:
            lay_out(tmp_path, release, url)
            prometheus: list[str | Path] = [
                tool("prometheus", release),
                f"--config.file={tmp_path / 'prometheus.yml'}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                "--web.listen-address=127.0.0.1:0",
                # Prometheus finds Alertmanager after 5 s; what fired before is lost until it is sent again.
                "--rules.alert.resend-delay=2s",
            ]
            async with running(*prometheus, cwd=tmp_path):
                try:
                    await taken.until(lambda seen: reached(seen) >= wanted, seconds=30)
                except TimeoutError:
                    pytest.fail(f"not told: {sorted(wanted - reached(taken))}")
    assert reached(taken) == wanted


@pytest.mark.parametrize(
    ("notation", "samples"),
    [
        ("1x2 0", [1.0, 1.0, 1.0, 0.0]),
        ("0+2x3", [0.0, 2.0, 4.0, 6.0]),
        ("5-1x1 _x2 3", [5.0, 4.0, None, None, 3.0]),
        ("-86100x1", [-86100.0, -86100.0]),
    ],
)
def test_series_are_expanded_as_promtool_does(notation: str, samples: list[float | None]) -> None:
    assert replay.expand(notation) == samples
