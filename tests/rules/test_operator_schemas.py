"""Every object for the Prometheus operator, checked against the schemas that the operator publishes."""

import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from alertmanager.__main__ import main
from tests.tools import operator_schemas

FILES = sorted(Path().glob("*/generated/kubernetes/*.yaml"))
NULL = {"type": "null"}


def strict(schema: Any) -> Any:
    """Return a schema that refuses unknown keys, which a cluster drops in silence, and nulls."""
    if isinstance(schema, list):
        return [strict(each) for each in schema if each != NULL]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items()}
    match found:
        case {"properties": _}:
            return {"additionalProperties": False} | found
        case {"anyOf": [only], **others}:
            return others | only
        case {"pattern": str(pattern)} if "(?i)" in pattern:
            return found | {"pattern": "(?i)" + pattern.replace("(?i)", "")}  # Go lets flags stand anywhere
    return found


@cache
def validator(kind: str, part: str | None = None) -> Draft202012Validator:
    schema = strict(operator_schemas()[kind])
    return Draft202012Validator({"$defs": schema["$defs"], "$ref": f"#/$defs/{part}"} if part else schema)


def problems(content: dict[str, Any]) -> list[str]:
    """Return what the schemas find wrong with an object, with its place."""
    found = [f"{error.json_path}: {error.message}" for error in validator(content["kind"]).iter_errors(content)]
    # Routes within routes are free JSON there, as a published schema may not refer to itself.
    for route in nested(content["spec"].get("route", {})):
        errors = validator(content["kind"], "Route").iter_errors(route)
        found += [f"route of {route.get('receiver')}, {error.json_path}: {error.message}" for error in errors]
    return found


def nested(route: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for child in route.get("routes", ()):
        yield child
        yield from nested(child)


def loaded(name: str) -> dict[str, Any]:
    [file] = [file for file in FILES if file.stem == name]
    content: dict[str, Any] = yaml.safe_load(file.read_text())
    return content


def test_there_are_objects_of_every_kind() -> None:
    assert {loaded(file.stem)["kind"] for file in FILES} == set(operator_schemas()) - {"Alertmanager"}


@pytest.mark.parametrize("name", [file.stem for file in FILES])
def test_object_is_as_the_operator_publishes_it(name: str) -> None:
    assert problems(loaded(name)) == []


def test_the_alertmanager_that_the_guide_shows_is_as_published_and_has_every_template() -> None:
    blocks = re.findall(
        r"^```yaml\n(apiVersion: .*?)^```$", Path("docs/policies.md").read_text(), re.MULTILINE | re.DOTALL
    )
    [shown] = map(yaml.safe_load, blocks)
    assert problems(shown) == []
    keys = [each["configMap"]["key"] for each in shown["spec"]["alertmanagerConfiguration"]["templates"]]
    assert keys == sorted(file.name for file in Path("alertmanager/templates").glob("*.tmpl"))


Edit = Callable[[dict[str, Any]], object]


def rule(spec: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = spec["groups"][0]["rules"][0]
    return found


def receiver(spec: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each[kind][0] for each in spec["receivers"] if kind in each)
    return found


MISTAKES: dict[str, tuple[str, Edit, str]] = {
    "key of a rule in the wrong case": (
        "prometheusrule",
        lambda spec: rule(spec).update(keepFiringFor="5m"),
        "'keepFiringFor' was unexpected",
    ),
    "rule without expression": ("prometheusrule", lambda spec: rule(spec).pop("expr"), "'expr' is a required property"),
    "label that is a number": ("prometheusrule", lambda spec: rule(spec)["labels"].update(stage=1), "1 is not of type"),
    "duration in words": (
        "prometheusrule",
        lambda spec: rule(spec).update({"for": "5 minutes"}),
        "'5 minutes' does not match",
    ),
    "group without name": ("prometheusrule", lambda spec: spec["groups"][0].pop("name"), "'name' is a required"),
    "interval without unit": (
        "mcp-lookout-exporter",
        lambda spec: spec["endpoints"][0].update(interval="15"),
        "'15' does not match",
    ),
    "relabelling that does not exist": (
        "mcp-lookout-exporter",
        lambda spec: spec["endpoints"][0]["relabelings"][0].update(action="rename"),
        "'rename' is not one of",
    ),
    "size without unit": ("mcp-lookout-exporter", lambda spec: spec.update(bodySizeLimit=64), "64 is not of type"),
    "monitor that selects nothing": (
        "mcp-lookout-exporter",
        lambda spec: spec.pop("selector"),
        "'selector' is a required",
    ),
    "limit in the words of prometheus.yml": (
        "mcp-lookout-exporter",
        lambda spec: spec.update(sample_limit=1),
        "'sample_limit' was unexpected",
    ),
    "matcher as text": (
        "alertmanagerconfig",
        lambda spec: spec["route"].update(matchers=['severity="critical"']),
        "is not of type 'object'",
    ),
    "matcher with an unknown sign": (
        "alertmanagerconfig",
        lambda spec: spec["route"]["routes"][0]["matchers"][0].update(matchType="~"),
        "'~' is not one of",
    ),
    "key of a route within a route in the words of alertmanager.yml": (
        "alertmanagerconfig",
        lambda spec: spec["route"]["routes"][0].update(group_wait="5m"),
        "'group_wait' was unexpected",
    ),
    "secret in clear": (
        "alertmanagerconfig",
        lambda spec: receiver(spec, "slackConfigs").update(apiURL="https://hooks.example/secret"),
        "is not of type 'object'",
    ),
    "details as a mapping": (
        "alertmanagerconfig",
        lambda spec: receiver(spec, "pagerdutyConfigs").update(details={"firing": "yes"}),
        "is not of type 'array'",
    ),
    "key of an e-mail in the words of alertmanager.yml": (
        "alertmanagerconfig",
        lambda spec: receiver(spec, "emailConfigs").update(require_tls=True),
        "'require_tls' was unexpected",
    ),
    "null for a value": (
        "alertmanagerconfig",
        lambda spec: spec["route"].update(groupWait=None),
        "None is not of type",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_planted_mistake_is_found(mistake: str) -> None:
    name, edit, expected = MISTAKES[mistake]
    content = deepcopy(loaded(name))
    edit(content["spec"])
    [found] = problems(content)
    assert expected in found


EXTRAS = """
smtp: {smarthost: "mail.example:587", from: a@example.org, username: lookout, password_file: secrets/smtp_password}
intervals:
  office: [{times: ["09:00-18:00"], weekdays: ["monday:friday"]}]
  upgrade: [{times: ["02:00-04:00"], days_of_month: ["1:3", "-1"], months: ["january"], years: ["2026:2030"]}]
"""


def test_login_tokens_and_intervals_are_as_the_operator_publishes_them(tmp_path: Path) -> None:
    content = yaml.safe_load(Path("alertmanager/receivers.yaml").read_text()) | yaml.safe_load(EXTRAS)
    content["channels"]["slack"] |= {"only_during": ["office"], "not_during": ["upgrade"]}
    content["channels"]["email"]["webhook"] = [{"url": "https://x.example/in", "token_file": "secrets/token"}]
    (tmp_path / "receivers.yaml").write_text(yaml.safe_dump(content))
    assert main(["--receivers", str(tmp_path / "receivers.yaml"), "--out", str(tmp_path)]) == 0
    written = yaml.safe_load((tmp_path / "kubernetes" / "alertmanagerconfig.yaml").read_text())
    assert len(written["spec"]["muteTimeIntervals"]) == 2
    assert problems(written) == []
