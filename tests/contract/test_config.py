"""Configuration: strict, every problem at once, each with file, line, field and mend."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from contract import yaml_source
from contract.config import ConfigError, Finding, Loaded, Model, Problem, exit_with, load, load_text
from contract.fields import Duration, HttpUrl, PositiveDuration, RelativePath, SecretFile


class Http(Model):
    url: HttpUrl


class File(Model):
    path: RelativePath


class Agent(Model):
    name: str
    timeout: PositiveDuration = 5.0
    source: Http | File | None = None
    token_file: SecretFile | None = None


class Fleet(Model):
    agents: list[Agent] = []
    types: dict[str, Http] = {}
    interval: Duration = 15.0
    limit: int = 10


def read(text: str, folder: Path = Path("/etc/lookout"), **environ: str) -> Loaded[Fleet]:
    return load_text(text, folder / "fleet.yaml", Fleet, environ=environ)


def problems_of(text: str, folder: Path = Path("/etc/lookout"), **environ: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        read(text, folder, **environ)
    return caught.value.problems


def test_an_empty_file_is_the_defaults() -> None:
    assert read("").config == Fleet()


def test_every_problem_is_reported_at_once_with_its_line() -> None:
    text = "agents:\n- name: a\n  timeuot: 5s\n- timeout: never\nlimit: many\n"
    assert [(p.line, p.field) for p in problems_of(text)] == [
        (3, "agents.0.timeuot"),
        (4, "agents.1.name"),
        (4, "agents.1.timeout"),
        (5, "limit"),
    ]


def test_a_misspelt_key_names_the_key_that_was_meant() -> None:
    (problem,) = problems_of("agents:\n- name: a\n  timeuot: 5s\n")
    assert str(problem) == "/etc/lookout/fleet.yaml:3: agents.0.timeuot: unknown key (did you mean timeout?)"


def test_an_unknown_key_that_resembles_none_lists_the_known_ones() -> None:
    (problem,) = problems_of("zzz: 1\n")
    assert problem.mend == "known keys: agents, interval, limit, types"


def test_a_key_inside_a_mapping_or_union_is_looked_up_in_its_own_model() -> None:
    assert problems_of("types:\n  planner:\n    ulr: http://a/\n    url: http://a/\n")[0].mend == "did you mean url?"
    assert "did you mean path?" in {p.mend for p in problems_of("agents:\n- name: a\n  source: {paht: x}\n")}


def test_a_missing_key_is_named() -> None:
    (problem,) = problems_of("agents:\n- timeout: 5s\n")
    assert (problem.field, problem.message, problem.mend) == ("agents.0.name", "the key is missing", "add it")


def test_a_key_set_twice_is_refused() -> None:
    (problem,) = problems_of("limit: 1\nlimit: 2\n")
    assert (problem.line, problem.message) == (2, "the key is set twice")
    assert "line 1" in problem.mend


def test_a_merged_mapping_may_be_overridden() -> None:
    text = "types:\n  a: &base {url: 'http://a/'}\n  b: {<<: *base, url: 'http://b/'}\n"
    assert read(text).config.types["b"].url == "http://b/"


@pytest.mark.parametrize(
    ("text", "line"),
    [("a: [1\nb: 2\n", 2), ("\tlimit: 1\n", 1), ("a: &a [*a]\n", 1), ("limit: 2026-13-45\n", 1), ("a: \x00", 1)],
)
def test_text_that_is_not_yaml_is_a_problem_not_a_traceback(text: str, line: int) -> None:
    assert problems_of(text)[0].line == line


def test_a_list_where_a_mapping_belongs_is_a_problem() -> None:
    assert problems_of("- 1\n")[0].line == 1


def test_variables_are_expanded_and_defaults_used() -> None:
    config = read("limit: ${LIMIT:-7}\ntypes: {a: {url: 'http://${HOST}:1/'}}\n", HOST="planner").config
    assert (config.limit, config.types["a"].url) == (7, "http://planner:1/")


def test_a_doubled_dollar_is_a_plain_one() -> None:
    assert read("agents: [{name: '$${HOME}'}]\n").config.agents[0].name == "${HOME}"


def test_a_variable_without_value_is_a_problem_with_its_mend() -> None:
    (problem,) = problems_of("agents:\n- name: ${NOBODY}\n")
    assert (problem.line, problem.message) == (2, "environment variable NOBODY is not set")
    assert "export NOBODY" in problem.mend


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a/",
        "http:///x",
        "planner:9830",
        "http://u:p@a/",
        "http://a/#x",
        "http://a:b/",
        "http://../",
        "http://a/ b",
        '"http://a/\\0"',
    ],
)
def test_a_url_that_cannot_be_asked_is_refused(url: str) -> None:
    quoted = url if url.startswith('"') else f"'{url}'"
    assert problems_of(f"types:\n  a:\n    url: {quoted}\n")[0].field == "types.a.url"


def test_a_missing_empty_or_open_secret_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text(" \n")
    text = "agents:\n- {name: a, token_file: none}\n- {name: b, token_file: empty}\n- {name: c, token_file: 5}\n"
    missing, empty, number = problems_of(text, tmp_path)
    assert "No such file" in missing.message
    assert "is empty" in empty.message
    assert "not a path" in number.message


def test_a_secret_is_read_when_used_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    file.chmod(0o600)
    loaded = read("agents: [{name: a, token_file: token}]\n", tmp_path)
    secret = loaded.config.agents[0].token_file
    assert secret is not None
    file.write_text("second\n")
    assert secret.read() == "second"
    assert "second" not in repr(loaded)
    assert loaded.warnings == ()


def test_a_secret_that_everybody_can_read_is_warned_about(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    (tmp_path / "token").chmod(0o644)
    (warning,) = read("agents: [{name: a, token_file: token}]\n", tmp_path).warnings
    assert "chmod 600" in warning.mend


def test_findings_across_fields_carry_the_line_of_their_place() -> None:
    def check(config: Fleet) -> Iterable[Finding]:
        yield Finding(("agents", 1, "name"), "the agent is named twice", "rename one")
        yield Finding(("limit",), "the limit is low", "raise it", is_warning=True)

    with pytest.raises(ConfigError) as caught:
        load_text("agents:\n- name: a\n- name: a\nlimit: 1\n", Path("f.yaml"), Fleet, check)
    assert str(caught.value) == "f.yaml:3: agents.1.name: the agent is named twice (rename one)"


def test_a_warning_alone_does_not_refuse() -> None:
    def check(config: Fleet) -> Iterable[Finding]:
        yield Finding(("limit",), "the limit is low", "raise it", is_warning=True)

    assert load_text("limit: 1\n", Path("f.yaml"), Fleet, check).warnings[0].line == 1


def test_a_file_that_is_missing_or_not_text_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for name in ("nowhere.yaml", "binary.yaml"):
        with pytest.raises(ConfigError, match=name):
            load(tmp_path / name, Fleet)


def test_the_end_has_exit_code_2_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        exit_with(ConfigError(problems_of("zzz: 1\nyyy: 2\n")))
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("unknown key") == 2


def test_checks_across_fields_speak_although_fields_are_broken() -> None:
    def check(config: Fleet) -> Iterable[Finding]:
        names = [agent.name for agent in config.agents]
        for index, name in enumerate(names):
            if name in names[:index]:
                yield Finding(("agents", index, "name"), f"{name} is named twice", "rename one")
        yield Finding(("limit",), "the limit is low", "raise it", is_warning=True)

    text = (
        "agents:\n- {name: a, timeuot: 5s}\n- {timeout: 5s}\n- name: b\n- name: a\n  timeout: 5\n- name: b\nlimit: x\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_text(text, Path("f.yaml"), Fleet, check)
    assert [(problem.line, problem.field) for problem in caught.value.problems] == [
        (2, "agents.0.timeuot"),
        (3, "agents.1.name"),
        (5, "agents.3.name"),
        (6, "agents.3.timeout"),
        (7, "agents.4.name"),
        (8, "limit"),
    ]


def test_a_check_does_not_miss_what_is_only_broken() -> None:
    def check(config: Fleet) -> Iterable[Finding]:
        for index, agent in enumerate(config.agents):
            if agent.name not in config.types:
                yield Finding(("agents", index), f"unknown type {agent.name!r}", f"known: {', '.join(config.types)}")

    text = "types:\n  planner: {url: nowhere}\nagents:\n- name: planner\n- name: validator\n"
    with pytest.raises(ConfigError) as caught:
        load_text(text, Path("f.yaml"), Fleet, check)
    assert [problem.field for problem in caught.value.problems] == ["types.planner.url", "agents.1"]


def test_nothing_useful_left_is_no_reason_to_fail() -> None:
    assert [problem.field for problem in problems_of("agents: {}\n")] == ["agents"]


def test_a_duplicate_key_does_not_hide_another_mistake_on_its_line() -> None:
    found = problems_of("agents: [{name: a, name: b, timeuot: 3s}]\n")
    assert {problem.field for problem in found} == {"agents.0.name", "agents.0.timeuot"}


@pytest.mark.parametrize(
    "text", ["agents: " + "[" * 100_000, "agents: " + "[" * 1000 + "]" * 1000, "{a: " * 60 + "}" * 60]
)
def test_deep_nesting_is_refused_before_it_can_exhaust_the_stack(text: str) -> None:
    (problem,) = problems_of(text)
    assert "nested deeper than 50 levels" in problem.message
    with pytest.raises(ValueError, match="nested deeper"):
        yaml_source.load(text)


def test_aliases_that_multiply_are_refused_before_they_fill_the_memory() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert any("more than 200000 values" in problem.message for problem in problems_of("\n".join(lines)))


def test_a_foreign_file_is_read_plainly() -> None:
    assert yaml_source.load('[{"targets": ["a:1"], "labels": {"agent": "${HOME}"}}]') == [
        {"targets": ["a:1"], "labels": {"agent": "${HOME}"}}
    ]
    with pytest.raises(ValueError, match="line"):
        yaml_source.load("a: [1\nb: 2\n")
