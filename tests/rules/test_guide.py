"""The guide to policies is followed to the letter in a copy of the project."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from alertmanager import reach
from alertmanager.desk_routing import DESK
from alertmanager.own_config import Route
from alertmanager.receivers import Receivers
from rules.conditions import Condition
from tests.tools import tool

GUIDE = Path("docs/policies.md").read_text()
BLOCKS = re.findall(r"^```(yaml|sh)\n(.*?)^```$", GUIDE, flags=re.MULTILINE | re.DOTALL)
COPIED = ("contract", "rules", "alertmanager", "docs", "dashboards", "exporter")
VENV = Path(sys.executable).parents[1]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in COPIED:
        shutil.copytree(name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy("Makefile", tmp_path)
    return tmp_path


def run(command: str, project: Path) -> subprocess.CompletedProcess[str]:
    program, *words = shlex.split(command)
    # The environment that runs this test is complete; the copy needs none of its own.
    make = ["make", "-o", str(VENV / ".ready"), f"VENV={VENV}"]
    programs = {"python": [sys.executable], "promtool": [str(tool("promtool"))], "make": make}
    environ = {**os.environ, "PYTHONPATH": str(project)}
    line = [*programs[Path(program).name], *words]
    return subprocess.run(line, cwd=project, env=environ, capture_output=True, text=True, check=False)


def test_a_policy_of_ones_own_takes_one_block_a_runbook_and_the_commands_shown(project: Path) -> None:
    policy = next(text for kind, text in BLOCKS if kind == "yaml")
    (project / "rules/policies/mine.yaml").write_text(policy)
    (project / "docs/runbooks/queue_too_long.md").write_text("# QueueTooLong\n")
    for kind, text in BLOCKS:
        for command in text.splitlines() if kind == "sh" else ():
            done = run(command, project)
            assert done.returncode == 0, (command, done.stdout, done.stderr)
    config = yaml.safe_load((project / "alertmanager/generated/alertmanager.yml").read_text())
    labels = {"alertname": "QueueTooLong", "severity": "major"}
    reached = reach.receivers(Route.model_validate(config["route"]), labels)
    assert reached == ["slack", "email", DESK]
    assert (project / "staging/rules/queue_too_long.yaml").is_file()


def test_without_a_runbook_the_guides_policy_is_refused(project: Path) -> None:
    (project / "rules/policies/mine.yaml").write_text(next(text for kind, text in BLOCKS if kind == "yaml"))
    done = run("python -m rules", project)
    assert done.returncode == 2
    assert "missing_runbook" in done.stderr


def test_the_channels_shown_are_valid_ones() -> None:
    texts = [text for kind, text in BLOCKS if kind == "yaml" and "channels:\n" in text]
    webhook, hours = (Receivers.model_validate({"fallback": "slack", **yaml.safe_load(text)}) for text in texts)
    assert str(webhook.channels["ticket_system"].webhook[0].url) == "https://tickets.example.com/alerts"
    assert hours.channels["slack"].only_during == ("office",)


def test_every_condition_is_in_the_table_and_every_example_is_read() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| `(.+)` \|$", GUIDE, flags=re.MULTILINE)
    assert [name for name, _ in rows] == list(Condition.model_fields)
    for name, example in rows:
        Condition.model_validate({name: yaml.safe_load(example.replace("…", "a"))})
