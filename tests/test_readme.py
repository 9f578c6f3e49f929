"""What the README promises is true: links, targets, addresses, faults and examples."""

import re
from pathlib import Path

import pytest

from contract.config import ConfigError
from contract.ports import ENDPOINTS
from contract.vocabulary import RunOutcome
from demo.faults.catalogue import EXPECTATIONS, Fault, about
from deploy import urls
from exporter.config_check import load
from exporter.workflows.document import read

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHANNEL_NAMES = {"slack": "Slack", "email": "e-mail", "pagerduty": "PagerDuty", "security_team": "security team"}


def cells(first: str) -> list[str]:
    """Return the cells of the table row that begins with this text."""
    (row,) = [line for line in README.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in row.strip("|").split("|")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_make_target_exists() -> None:
    named = set(re.findall(r"\bmake ([a-z][a-z-]+)", README))
    defined = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert named
    assert named <= defined


def test_addresses_lead_where_the_table_says() -> None:
    rows = dict(re.findall(r"^\| ([^|]+) \| (http://localhost:\d+\S*) \|$", README, re.MULTILINE))
    printed = {title: f"http://localhost:{ENDPOINTS[name].port}{path}" for title, name, path in urls.PAGES}
    for title, address in rows.items():
        known = [known for known in printed if known.split(" (")[0] in title or title.split(" as ")[0] in known]
        assert [printed[name].rstrip("/") for name in known] == [address], title


@pytest.mark.parametrize("fault", Fault)
def test_the_table_of_faults_says_what_happens(fault: Fault) -> None:
    expected = EXPECTATIONS[fault]
    _, _, alert, after, told = cells(f"`{fault}`")
    assert alert == expected.alert
    assert after == about(expected.message_seconds)
    assert told == ", ".join(CHANNEL_NAMES[channel] for channel in expected.channels)


def examples() -> list[tuple[Path, str]]:
    """Return every example of an exporter configuration with the page it stands on."""
    pattern = re.compile(r"^```yaml\n(# exporter\.yaml\n.*?)^```$", re.MULTILINE | re.DOTALL)
    return [(page, text) for page in PAGES for text in pattern.findall(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("page", "text"), examples(), ids=lambda value: getattr(value, "name", None))
def test_example_configurations_are_valid(page: Path, text: str, tmp_path: Path) -> None:
    for name in re.findall(r"_file: (secrets/\w+)", text):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("made-up")
        (tmp_path / name).chmod(0o600)
    (tmp_path / "exporter.yaml").write_text(text, encoding="utf-8")
    assert [str(w) for w in load(tmp_path / "exporter.yaml").warnings if "no agents" not in str(w)] == []


def test_there_are_examples() -> None:
    assert len(examples()) >= 5


def test_the_statistics_document_of_the_guide_is_valid() -> None:
    guide = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")
    (document,) = re.findall(r"^```json\n(\{\"version\".*?)^```$", guide, re.MULTILINE | re.DOTALL)
    assert read(document).workflows[0].runs[RunOutcome.COMPLETED] == 41


def test_the_shown_mistake_is_reported_as_shown(tmp_path: Path) -> None:
    (shown,) = re.findall(r"^exporter/exporter\.yaml:3: .*$", README, re.MULTILINE)
    file = tmp_path / "exporter" / "exporter.yaml"
    file.parent.mkdir()
    file.write_text("agents:\n- {name: a, type: planner, url: 'http://a/',\n   timeuot: 5s}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value) == str(tmp_path / shown)
