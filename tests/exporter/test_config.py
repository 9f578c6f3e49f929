"""Configuration mistakes: all reported at once, each with file, line, field and mend."""

from collections.abc import Callable
from pathlib import Path

import pytest

from contract import yaml_source
from contract.config import ConfigError
from contract.vocabulary import AGENT_TYPES
from exporter.config_check import load
from exporter.tool_pins import pins_text
from tests.checkout import ROOT, shipped
from tests.exporter.certificates import self_signed

Write = Callable[[str, str], Path]
EXAMPLE = shipped("exporter/exporter.yaml")
AGENT = "agents:\n- name: a\n  type: planner\n  url: http://a:1/mcp\n"

MISTAKES = {
    "unknown key": (AGENT + "  colour: red\n", 5, "agents.0.colour: unknown key"),
    "misspelt key": (AGENT + "  timeuot: 5s\n", 5, "agents.0.timeuot: unknown key (did you mean timeout?)"),
    "bad duration": (AGENT + "  timeout: 5\n", 5, "agents.0.timeout: 5 is not a duration (write a number and a unit"),
    "no duration": (AGENT + "  interval: 0s\n", 5, "agents.0.interval: a duration of nothing"),
    "timeout too long": (AGENT + "  timeout: 1h\n", 5, "agents.0.timeout: the timeout is longer than the interval"),
    "interval too short": (AGENT + "  interval: 1s\n", 5, "agents.0.interval: the timeout is longer than the interval"),
    "timeout of all too long": (
        "defaults:\n  timeout: 1h\n" + AGENT + AGENT.replace("agents:\n", "").replace("name: a", "name: b"),
        2,
        "defaults.timeout: the timeout is longer than the interval",
    ),
    "missing key": ("agents:\n- name: a\n  type: planner\n", 2, "agents.0.url: the key is missing (add it)"),
    "bad url": (AGENT.replace("http:", "ftp:"), 4, "agents.0.url: 'ftp://a:1/mcp' is not an http or https URL"),
    "secret in url": (AGENT.replace("a:1", "u:p@a:1"), 4, "agents.0.url: the URL holds credentials"),
    "unknown probe": (AGENT + "  probe: tcp\n", 5, "agents.0.probe: input should be 'mcp', 'http' or 'health_json'"),
    "unknown type": (AGENT.replace("planner", "poet"), 3, "agents.0.type: unknown agent type 'poet' (use one of orch"),
    "bad name": (AGENT.replace("name: a", "name: a b"), 2, "agents.0.name: string should match pattern"),
    "duplicate agent": (
        AGENT + "- name: a\n  type: planner\n  url: http://b:1/mcp\n",
        5,
        "agents.1.name: the name a is already taken by agents.0 (names must differ)",
    ),
    "key twice": (AGENT + "  name: b\n", 5, "agents.0.name: the key is set twice (it is already set on line 2"),
    "unknown credentials": (
        AGENT + "  credentials: x\n",
        5,
        "agents.0.credentials: unknown credentials 'x' (known: none; define it under credentials)",
    ),
    "missing secret file": (
        AGENT + "  credentials: x\ncredentials:\n  x:\n    token_file: nowhere\n",
        8,
        "credentials.x.token_file: secret file nowhere: No such file or directory",
    ),
    "half a client": (
        AGENT + "  credentials: x\ncredentials:\n  x:\n    token_url: http://idp/token\n    client_id: a\n",
        7,
        "credentials.x.client_secret_file: the key is missing",
    ),
    "no certificates": (AGENT + "  ca_file: exporter.yaml\n", 5, "agents.0.ca_file: "),
    "bad expression": (
        "workflow_sources:\n- name: e\n  url: http://e\n  kind: jmespath\n  workflows: 'a['\n  mapping: {name: id}\n",
        5,
        "workflow_sources.0.workflows: 'a[' is not a JMESPath expression",
    ),
    "bad expression within": (
        "workflow_sources:\n- name: e\n  url: http://e\n  kind: jmespath\n  workflows: a\n"
        "  mapping:\n    name: id\n    runs:\n      completed: 'x ||'\n",
        9,
        "workflow_sources.0.mapping.runs.completed: 'x ||' is not a JMESPath expression",
    ),
    "mapping without kind": (
        "workflow_sources:\n- name: e\n  url: http://e\n  workflows: a\n  mapping: {name: id}\n",
        2,
        "workflow_sources.0: kind jmespath goes with `workflows` and `mapping`",
    ),
    "resource without kind": (
        "workflow_sources:\n- name: e\n  url: http://e\n  resource: a://b\n",
        2,
        "workflow_sources.0: `resource` and kind mcp_resource belong together",
    ),
    "duplicate source": (
        "workflow_sources:\n- {name: e, url: http://e}\n- {name: e, url: http://f}\n",
        3,
        "workflow_sources.1.name: the name e is already taken by workflow_sources.0",
    ),
    "check without ends": (
        "health:\n  security:\n    x: {query: up, good: 1, bad: 1}\n",
        3,
        "health.security.x: good and bad are the same value",
    ),
    "unknown component": ("health:\n  weights:\n    disks: 1\n", 3, "health.weights.disks"),
    "weight below nothing": ("health:\n  weights:\n    agents: -1\n", 3, "health.weights.agents: "),
    "weight without end": ("health:\n  weights:\n    agents: .inf\n", 3, "health.weights.agents: "),
    "weight that is no number": ("health:\n  weights:\n    agents: .nan\n", 3, "health.weights.agents: "),
    "check that is no number": (
        "health:\n  security:\n    x: {query: up, good: .nan, bad: 1}\n",
        3,
        "security.x.good: ",
    ),
    "check without end": ("health:\n  security:\n    x: {query: up, good: 1, bad: -.inf}\n", 3, "security.x.bad: "),
    "argument beyond 64 bits": (
        AGENT + "  check_tool:\n    name: add\n    arguments: {a: 99999999999999999999999}\n",
        5,
        "agents.0.check_tool: name and arguments cannot be sent as JSON: Integer exceeds 64-bit range",
    ),
    "type twice": ("agent_types: [a, b, a]\n", 1, "agent_types.2: type a is listed twice"),
    "reserved type": ("agent_types: [status]\n", 1, "agent_types.0: status is a reserved word"),
    "no pins file": ("pinned_tools: exporter.yaml\n", 1, "pinned_tools: "),
    "unset variable": (AGENT + "  credentials: ${NO_SUCH_NAME}\n", 5, "environment variable NO_SUCH_NAME is not set"),
    "not YAML": ("agents: [\n", 2, "not valid YAML"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_reported_with_file_line_field_and_mend(write: Write, mistake: str) -> None:
    text, line, expected = MISTAKES[mistake]
    file = write("exporter.yaml", text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    told = [str(problem) for problem in caught.value.problems]
    assert any(problem.startswith(f"{file}:{line}: ") and expected in problem for problem in told), told
    assert len(told) == 1, told


def test_all_mistakes_are_reported_at_once(write: Write) -> None:
    text = AGENT + "  timeout: soon\n  colour: red\n- name: b\n  type: planner\n  url: nowhere\nintervall: 5s\n"
    with pytest.raises(ConfigError) as caught:
        load(write("exporter.yaml", text))
    assert [problem.line for problem in caught.value.problems] == [5, 6, 9, 10]


def test_mistakes_across_fields_are_reported_at_once(write: Write) -> None:
    text = AGENT.replace("planner", "poet") + "  credentials: x\n  timeout: 1h\n"
    with pytest.raises(ConfigError) as caught:
        load(write("exporter.yaml", text))
    assert [problem.line for problem in caught.value.problems] == [3, 5, 6]


def test_pattern_too_long_for_a_label_is_refused(write: Write) -> None:
    with pytest.raises(
        ConfigError, match=r"exporter\.yaml:2: file_sd\.0\.files\.0: \d+ bytes are too long for a label"
    ):
        load(write("exporter.yaml", f"file_sd:\n- files: [{'x' * 251}]\n"))


def test_what_is_defined_but_never_used_is_a_warning(write: Write, tmp_path: Path) -> None:
    token = write("token", "secret")
    token.chmod(0o600)
    loaded = load(write("exporter.yaml", AGENT + "credentials: {spare: {token_file: token}}\n"))
    assert [(warning.line, warning.field) for warning in loaded.warnings] == [(5, "credentials.spare")]


def test_nothing_to_probe_is_a_warning(write: Write) -> None:
    assert [w.message for w in load(write("exporter.yaml", "")).warnings] == [
        "no agents and no file_sd: nothing to probe"
    ]


def test_pins_file_yet_to_be_written_is_a_warning(write: Write) -> None:
    loaded = load(write("exporter.yaml", AGENT + "pinned_tools: pins.json\n"))
    assert [warning.field for warning in loaded.warnings] == ["pinned_tools"]
    write("pins.json", pins_text({}))
    assert load(write("exporter.yaml", AGENT + "pinned_tools: pins.json\n")).warnings == ()


def test_agent_keeps_its_own_settings_and_takes_the_others_from_defaults(write: Write, tmp_path: Path) -> None:
    self_signed(tmp_path)
    write("token", "secret").chmod(0o600)
    text = (
        "defaults: {interval: 20s, credentials: ours, ca_file: ca.pem}\n"
        + AGENT
        + "  timeout: 1s\n- {name: b, type: planner, url: http://b/health, probe: http, credentials: null}\n"
        + "credentials: {ours: {token_file: token}}\n"
    )
    config = load(write("exporter.yaml", text)).config
    from exporter.targets import of_config

    first, second = of_config(config)
    assert (first.interval, first.timeout, first.credentials, first.ca_file) == (20, 1, "ours", tmp_path / "ca.pem")
    assert (second.probe, second.timeout, second.credentials) == ("http", 5, None)


def test_types_are_added_to_those_that_everybody_has(write: Write) -> None:
    text = AGENT + "- {name: b, type: weather, url: http://b:1/mcp}\nagent_types: [weather, planner]\n"
    assert load(write("exporter.yaml", text)).config.types == (*AGENT_TYPES, "weather")


def test_example_is_good_and_names_the_demo_fleet() -> None:
    loaded = load(EXAMPLE)
    assert loaded.warnings == ()
    agents = [(agent.name, agent.url) for agent in loaded.config.agents]
    names = [f"{kind}-{number}" for kind in loaded.config.types for number in (1, 2)]
    assert agents == [(name, f"http://agents:{9830 + place}/mcp") for place, name in enumerate(names)]
    assert [source.url for source in loaded.config.workflow_sources] == ["http://engine:9826/workflows"]


def test_what_the_user_s_file_still_has_of_the_demo_is_as_the_demo_ships_it() -> None:
    shipped_agents = load(EXAMPLE).config.agents
    own = yaml_source.load((ROOT / "exporter/exporter.yaml").read_text(encoding="utf-8")).get("agents") or []
    of_the_demo = {agent["name"]: agent["url"] for agent in own if agent.get("url", "").startswith("http://agents:")}
    assert of_the_demo.items() <= {(agent.name, agent.url) for agent in shipped_agents}
