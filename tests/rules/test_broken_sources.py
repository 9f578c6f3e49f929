"""Whatever stands in a source, a generator names file, line and mend; it never ends in a traceback."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from alertmanager.__main__ import Sources as AlertmanagerSources
from alertmanager.__main__ import generated as routes
from contract.config import ConfigError
from contract.generated import Generated
from dashboards.__main__ import generated as dashboards
from rules import promql
from rules.__main__ import Sources
from rules.__main__ import generated as rules

SECURITY = Path("rules/policies/security.yaml")
SOURCES = (
    str(SECURITY),
    "rules/links.yaml",
    "rules/slos.yaml",
    "rules/metrics.yaml",
    "rules/prometheus.yml",
    "rules/escalation.yaml",
    "alertmanager/receivers.yaml",
    "dashboards/generated/audit.json",
)
KEYS = ("channels", "metrics", "policies", "objectives", "escalations", "uid", "panels", "scrape_configs")
TEXTS = {
    "empty": "",
    "null": "null",
    "number": "42",
    "text": "policy",
    "list": "[1, {a: b}]",
    "open": "a: [",
    "open JSON": '{\n"uid": "a",\n',
    "tab": "a:\n\t- b",
    "two documents": "a: 1\n---\nb: 2",
    "strange keys": "{1: 2, null: 3, [4]: 5}",
    "deep": "[" * 5000 + "]" * 5000,
    "tag": "!!python/object:os.system {}",
    "not UTF-8": b"\xff\xfe\x00a",
    "NUL": "a: \x00",
    "lists for mappings": "".join(f"{key}: [a]\n" for key in KEYS),
    "nulls for mappings": "".join(f"{key}:\n" for key in KEYS),
    "texts inside": "".join(f"{key}: {{a: b}}\n" for key in KEYS),
    "unknown kind": "{metrics: {up: {kind: gouge}}, component: dreams, fallback: {}, escalations: {immediate: 1}}",
    "panels": '{"uid": "a", "panels": [1], "templating": {"list": [{}]}}',
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in SOURCES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, tmp_path / name)
    return tmp_path


def generators(project: Path) -> dict[str, Callable[[], Generated]]:
    policies, out = project / "rules/policies", project / "out"
    of_rules = Sources(policies, project / "rules/links.yaml", project / "rules/slos.yaml", None, project)
    receivers, escalation = project / "alertmanager/receivers.yaml", project / "rules/escalation.yaml"
    return {
        "rules": lambda: rules(of_rules, out),
        "alertmanager": lambda: routes(AlertmanagerSources(policies, receivers, escalation), out),
        "dashboards": lambda: dashboards(out, policies),
    }


def refusals(project: Path) -> list[str]:
    """Return what all generators say; whatever is raised beside ConfigError fails the test."""
    found = []
    for generate in generators(project).values():
        try:
            generate()
        except ConfigError as error:
            found += [str(problem) for problem in error.problems]
    return found


@pytest.mark.parametrize("source", SOURCES, ids=lambda name: Path(name).stem)
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_broken_source_is_refused_with_its_place_and_how_to_mend_it(
    project: Path, source: str, text: str | bytes
) -> None:
    (project / source).write_bytes(text if isinstance(text, bytes) else text.encode())
    said = [problem for problem in refusals(project) if problem.startswith(f"{project / source}:")]
    assert said
    for problem in said:
        assert re.search(r"^\S+:\d+: .+ \(.+\)$", problem, re.DOTALL), problem


@pytest.mark.parametrize("source", SOURCES[1:-1], ids=lambda name: Path(name).stem)
def test_a_source_that_is_gone_or_a_folder_is_refused(project: Path, source: str) -> None:
    (project / source).unlink()
    assert f"{project / source}:1: the file does not exist (check the path)" in refusals(project)
    (project / source).mkdir()
    assert any(problem.startswith(f"{project / source}:1: cannot be read: ") for problem in refusals(project))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mine.yml", "mine.yml:1: policies in it are not read (rename it to mine.yaml)"),
        ("mine.YAML", "mine.YAML:1: policies in it are not read (rename it to mine.yaml)"),
        ("mine.json", "mine.json:1: no policy file (move it away; a policy file is named NAME.yaml)"),
        ("mine.yaml~", "mine.yaml~:1: no policy file (move it away; a policy file is named NAME.yaml)"),
        ("README", "README:1: no policy file (move it away; a policy file is named NAME.yaml)"),
    ],
)
def test_a_file_among_the_policies_that_would_not_be_read_is_refused(project: Path, name: str, expected: str) -> None:
    (project / "rules/policies" / name).write_text("component: agents\n")
    assert f"{project}/rules/policies/{expected}" in refusals(project)


def test_a_folder_among_the_policies_is_refused_and_hidden_files_are_not(project: Path) -> None:
    shutil.copytree("rules/policies", project / "rules/policies", dirs_exist_ok=True)
    (project / "rules/policies/.#agents.yaml").symlink_to("somebody@somewhere")
    (project / "rules/policies/..data").mkdir()
    assert not [problem for problem in refusals(project) if "/policies/." in problem]
    (project / "rules/policies/mine").mkdir()
    expected = "mine:1: a folder among the policies is not read (move its files up, or it away)"
    assert f"{project}/rules/policies/{expected}" in refusals(project)


@pytest.mark.parametrize(
    "events",
    ["runs_total{", "rate(a[5m])", "a[5m])) or vector(1) or sum(rate(b", "a offset 1h", "a or b", "a # b", "1", ""],
)
def test_what_is_counted_is_a_selector_and_cannot_end_the_range_it_stands_before(project: Path, events: str) -> None:
    text = f"objectives: {{mine: {{objective: 99%, minimum_events: 5, good: {events!r}, all: b}}}}\n"
    (project / "rules/slos.yaml").write_text(text)
    policies, count = re.subn(r"(?<=count: )\{of: '.*?'", lambda _: f"{{of: {events!r}", SECURITY.read_text(), count=1)
    assert count == 1
    (project / SECURITY).write_text(policies)
    said = f'{events!r} is not a selector (write metric{{label="value"}})'
    found = refusals(project)
    assert f"{project}/rules/slos.yaml:1: objectives.mine.good: {said}" in found
    assert any(problem.endswith(f"condition.count.of: {said}") for problem in found), found


@pytest.mark.parametrize("text", ["-" * 9999 + "a", "sum(" * 500 + "a" + ")" * 500, "a" + " or a" * 1000, "a" * 20000])
def test_an_expression_that_would_exhaust_the_parser_is_no_promql(text: str) -> None:
    with pytest.raises(ValueError, match=r"nested deeper than|longer than 10000 characters"):
        promql.parse(text)
