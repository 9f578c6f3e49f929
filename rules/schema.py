"""The JSON Schema of policy files, for editors: completion, and red underlines while one writes."""

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from contract.fields import parse_duration
from rules.comparison import parse_number
from rules.policy import PolicyFile

TITLE = "MCP Lookout alert policies"

_DURATION = {"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|[smhdw]))+$", "examples": ["15s", "2m", "1h30m"]}
_NUMBER = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^-?\d+(\.\d+)?\s*%$"}], "examples": [5, "5%"]}


class _Generator(GenerateJsonSchema):
    """Writes durations and percentages as they are written in the files, not as what they are read into."""

    def function_before_schema(self, schema: Any) -> JsonSchemaValue:
        written: dict[Any, JsonSchemaValue] = {parse_duration: _DURATION, parse_number: _NUMBER}
        known = written.get(schema["function"]["function"])
        return {**known} if known else super().function_before_schema(schema)


def text() -> str:
    """Return the schema as JSON, the same bytes each time."""
    schema = PolicyFile.model_json_schema(schema_generator=_Generator)
    raw = schema["$defs"]["Condition"]["properties"]["raw"]
    raw["anyOf"].insert(0, {"type": "string", "description": "PromQL as it stands."})
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": TITLE}
    return json.dumps({**schema, **head}, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
