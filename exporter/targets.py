"""What is probed: agents with every setting decided, from the configuration and the text of file_sd files. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pydantic
import yaml

from contract.fields import HttpUrl
from exporter.config import Agent, ExporterConfig, FileSd, Name, ProbeKind, ProbeSettings, ToolCall, resolve

_URL: pydantic.TypeAdapter[str] = pydantic.TypeAdapter(HttpUrl)
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Target:
    """One agent, ready to be probed."""

    name: str
    agent_type: str
    url: str
    probe: ProbeKind
    interval: float
    timeout: float
    tools_interval: float
    credentials: str | None
    ca_file: Path | None
    check_tool: ToolCall | None

    def __hash__(self) -> int:
        return hash(self.name)


class TargetLabels(pydantic.BaseModel):
    """Labels of a file_sd group that mean something here; others are for Prometheus."""

    agent: Name | None = None
    agent_type: str


class TargetGroup(pydantic.BaseModel):
    """One group of a file_sd file: Prometheus' own shape."""

    targets: list[str]
    labels: TargetLabels


_GROUPS: pydantic.TypeAdapter[list[TargetGroup]] = pydantic.TypeAdapter(list[TargetGroup])


def of_config(config: ExporterConfig) -> list[Target]:
    """Return the agents that the configuration itself names."""
    return [_target(agent.name, agent.type, agent.url, config.defaults, agent) for agent in config.agents]


def of_file(path: Path, content: bytes, group: FileSd, config: ExporterConfig) -> list[Target]:
    """Read one file_sd file. Raises ValueError that says what is wrong and where."""
    try:
        parsed = orjson.loads(content) if path.suffix == ".json" else yaml.load(content, _Loader)  # noqa: S506 - safe
        groups = _GROUPS.validate_python(parsed or [])
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']}") from None
    except (orjson.JSONDecodeError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(" ".join(str(error).split())) from None
    return [target for read in groups for target in _of_group(read, group, config)]


def unique(targets: Iterable[Target]) -> tuple[list[Target], list[Target]]:
    """Return the first target of every name, and those whose name was taken."""
    first: dict[str, Target] = {}
    doubles = [target for target in targets if first.setdefault(target.name, target) is not target]
    return list(first.values()), doubles


def _of_group(read: TargetGroup, group: FileSd, config: ExporterConfig) -> Iterator[Target]:
    if read.labels.agent_type not in config.agent_types:
        known = ", ".join(config.agent_types)
        raise ValueError(f"unknown agent_type {read.labels.agent_type!r}; use one of {known}, or add it to agent_types")
    if read.labels.agent and len(read.targets) > 1:
        raise ValueError(
            f"label agent {read.labels.agent!r} names {len(read.targets)} targets; give each its own group"
        )
    for address in read.targets:
        url = address if "://" in address else f"http://{address}{group.path}"
        try:
            _URL.validate_python(url)
        except pydantic.ValidationError as error:
            raise ValueError(f"target {address!r}: {error.errors()[0]['msg']}") from None
        yield _target(read.labels.agent or address, read.labels.agent_type, url, config.defaults, group)


def _target(name: str, agent_type: str, url: str, defaults: ProbeSettings, own: Agent | FileSd) -> Target:
    return Target(name, agent_type, url, **resolve(defaults, own))
