"""The lint catches each planted mistake, finds nothing in the pack, and every check is documented."""

import re
from pathlib import Path

import pytest

from contract.config import ConfigError
from rules import facts, lint, pack, slos

PLANTED = sorted(Path("tests/rules/planted").glob("*.yaml"))
OBJECTIVES = slos.read(Path("rules/slos.yaml"))
PAGE = Path("docs/lint.md")


def found(folder: Path) -> list[str]:
    read = pack.read(folder)
    return [str(problem) for problem in lint.problems(facts.gather(read, Path(), OBJECTIVES))]


def only(file: Path, folder: Path) -> Path:
    (folder / "policies").mkdir()
    (folder / "policies" / "mine.yaml").write_text(file.read_text())
    return folder / "policies"


@pytest.mark.parametrize("file", PLANTED, ids=lambda file: file.stem)
def test_a_planted_mistake_is_caught_with_its_place_and_how_to_mend_it(file: Path, tmp_path: Path) -> None:
    expected = file.read_text().splitlines()[0].removeprefix("# expect: ")
    problems = found(only(file, tmp_path))
    assert any(expected in problem for problem in problems), problems
    for problem in problems:
        assert re.search(r"mine\.yaml:\d+: policies\.\w+[\w.]*: \w+: .+ \(.+\)$", problem), problem


def test_there_is_a_planted_mistake_for_every_check() -> None:
    planted = " ".join(file.read_text().splitlines()[0] for file in PLANTED)
    assert len(PLANTED) >= 30
    assert [name for name in lint.all_checks() if f": {name}: " not in planted] == []


def test_the_pack_is_clean() -> None:
    assert found(Path("rules/policies")) == []


def test_every_check_has_an_entry_in_the_documentation_and_says_what_it_is_for() -> None:
    headings = re.findall(r"^### (\w+)$", PAGE.read_text(), flags=re.MULTILINE)
    assert headings == sorted(lint.all_checks())


def test_a_check_is_switched_off_by_its_name_and_a_reason(tmp_path: Path) -> None:
    folder = only(Path("tests/rules/planted/nobody_told.yaml"), tmp_path)
    file = folder / "mine.yaml"
    file.write_text(file.read_text().replace("{untested: planted", "{silent_policy: planted, untested: planted"))
    assert found(folder) == []


def test_an_unknown_check_cannot_be_switched_off(tmp_path: Path) -> None:
    folder = only(Path("tests/rules/planted/nobody_told.yaml"), tmp_path)
    file = folder / "mine.yaml"
    file.write_text(file.read_text().replace("{untested: planted", "{silent: planted, untested: planted"))
    assert any("policies.planted.lint.silent: no such check" in problem for problem in found(folder))


def test_a_switched_off_check_needs_a_reason(tmp_path: Path) -> None:
    folder = only(Path("tests/rules/planted/nobody_told.yaml"), tmp_path)
    file = folder / "mine.yaml"
    file.write_text(file.read_text().replace("{untested: planted", '{untested: ""'))
    with pytest.raises(ConfigError, match=r"policies\.planted\.lint\.untested"):
        found(folder)
