"""Other engines' JSON, turned into the statistics document by JMESPath expressions of the configuration."""

from typing import Any

import jmespath
import orjson

from exporter.config import WorkflowMapping
from exporter.workflows.document import Statistics, read_value


def read(text: bytes, workflows: str, mapping: WorkflowMapping) -> Statistics:
    """Map a JSON text. Raises ValueError that says what is wrong."""
    try:
        source = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    found = _search(workflows, source)
    if not isinstance(found, list):
        raise ValueError(f"{workflows!r} finds {type(found).__name__} where a list of workflows should be")
    template = mapping.model_dump(exclude_none=True)
    return read_value({"version": 1, "workflows": [_fill(template, item) for item in found]})


def _fill(template: Any, item: Any) -> Any:
    """Replace every expression by what it finds in `item`; what is not there is left out."""
    if isinstance(template, dict):
        filled = {key: _fill(part, item) for key, part in template.items()}
        return {key: value for key, value in filled.items() if value is not None}
    return _search(template, item)


def _search(expression: str, value: Any) -> Any:
    try:
        return jmespath.search(expression, value)
    except jmespath.exceptions.JMESPathError as error:
        raise ValueError(f"{expression!r}: {' '.join(str(error).split())}") from None
