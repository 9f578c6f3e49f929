"""The schema for editors: committed fresh, accepts the pack, refuses what the model refuses."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from rules import schema

COMMITTED = Path("rules/policy.schema.json")
FILES = sorted(Path("rules/policies").glob("*.yaml"))


def errors(document: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(json.loads(COMMITTED.read_text()))
    return [error.message for error in validator.iter_errors(document)]


def policy(**changes: Any) -> dict[str, Any]:
    terms = {
        "severity": "major",
        "channels": ["slack"],
        "escalation": "standard",
        "condition": {"raw": "vector(1)"},
        "summary": "s",
        "description": "d",
    }
    return {"component": "agents", "policies": {"mine": {**terms, **changes}}}


def test_the_committed_schema_is_fresh_and_valid() -> None:
    assert COMMITTED.read_text() == schema.text()
    jsonschema.Draft202012Validator.check_schema(json.loads(schema.text()))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_pack_fits_the_schema_and_names_it(file: Path) -> None:
    text = file.read_text()
    assert errors(yaml.safe_load(text)) == []
    assert text.startswith("# yaml-language-server: $schema=../policy.schema.json\n")


@pytest.mark.parametrize(
    "changes",
    [
        {"severity": "catastrophic"},
        {"for": "2 minutes"},
        {"for": 120},
        {"sumary": "typo"},
        {"condition": {"threshold": {"of": "up", "above": "five"}}},
        {"condition": {"ratio": {"part": "a", "whole": "b", "over": "5m", "above": "5%"}}},
        {"channels": "slack"},
    ],
    ids=str,
)
def test_mistakes_are_underlined(changes: dict[str, Any]) -> None:
    assert errors(policy()) == []
    assert errors(policy(**changes)) != []
