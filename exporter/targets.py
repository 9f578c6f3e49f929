"""What is probed: agents with every setting decided, from the configuration and the text of file_sd files. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pydantic

from contract import yaml_source
from contract.config import ConfigError, Finding, Problem
from contract.fields import HttpUrl
from exporter.config import Agent, ExporterConfig, FileSd, Name, ProbeKind, ProbeSettings, ToolCall, resolve
from exporter.label_values import MAX_LABEL_BYTES

MAX_TARGETS = 200_000
"""Targets of one file."""

_URL: pydantic.TypeAdapter[str] = pydantic.TypeAdapter(HttpUrl)


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
    """Read one file_sd file. Raises ConfigError with every problem, its line and how to mend it."""
    parsed = _parse(path, content)
    _check_count(path, parsed)
    try:
        groups = _GROUPS.validate_python(parsed or [])
    except pydantic.ValidationError as error:
        details = error.errors(include_url=False)
        raise _error(path, content, [_finding(detail) for detail in details]) from None
    if findings := [finding for place, read in enumerate(groups) for finding in _check(place, read, group, config)]:
        raise _error(path, content, findings)
    return [
        _target(read.labels.agent or address, read.labels.agent_type, _url(address, group), config.defaults, group)
        for read in groups
        for address in read.targets
    ]


def unique(targets: Iterable[Target]) -> tuple[list[Target], list[Target]]:
    """Return the first target of every name, and those whose name was taken."""
    first: dict[str, Target] = {}
    doubles = [target for target in targets if first.setdefault(target.name, target) is not target]
    return list(first.values()), doubles


def _parse(path: Path, content: bytes) -> Any:
    try:
        return orjson.loads(content) if path.suffix == ".json" else yaml_source.load(content.decode("utf-8-sig"))
    except orjson.JSONDecodeError as error:
        raise ConfigError([Problem(str(path), error.lineno, "", f"not JSON: {error.msg}", "mend the file")]) from None
    except (ValueError, OverflowError) as error:
        # Which line is wrong takes a slower parser.
        found = yaml_source.parse(content.decode("utf-8", "replace"), {}).problems
        line, message = (found[0].line, found[0].message) if found else (1, f"not valid YAML: {error}"[:300])
        raise ConfigError([Problem(str(path), line, "", message, "mend the file")]) from None


def _check_count(path: Path, parsed: Any) -> None:
    """Refuse more targets than a fleet has, before each is looked at: YAML aliases multiply a short file."""
    groups = [group for group in parsed if isinstance(group, dict)] if isinstance(parsed, list) else []
    named = (targets for group in groups if isinstance(targets := group.get("targets"), list))
    if (count := sum(map(len, named))) > MAX_TARGETS:
        message = f"{count} targets, more than {MAX_TARGETS}"
        raise ConfigError([Problem(str(path), 1, "", message, "split the file or shard the fleet")])


def _check(place: int, read: TargetGroup, group: FileSd, config: ExporterConfig) -> Iterator[Finding]:
    """Find what the shape of a group cannot show."""
    if read.labels.agent_type not in config.types:
        mend = f"use one of {', '.join(config.types)}, or add it to agent_types"
        yield Finding((place, "labels", "agent_type"), f"unknown agent_type {read.labels.agent_type!r}", mend)
    if read.labels.agent and len(read.targets) > 1:
        message = f"label agent {read.labels.agent!r} names {len(read.targets)} targets"
        yield Finding((place, "labels", "agent"), message, "give each its own group, or leave the label out")
    for number, address in enumerate(read.targets):
        try:
            _URL.validate_python(_url(address, group))
        except pydantic.ValidationError:
            yield Finding((place, "targets", number), f"{address!r} is no target", "write host:port or a http(s) URL")
        if read.labels.agent is None and len(address.encode()) > MAX_LABEL_BYTES:
            message = f"an address of more than {MAX_LABEL_BYTES} bytes is no name"
            yield Finding((place, "targets", number), message, "give it a label agent")


def _finding(detail: Any) -> Finding:
    mend = "add it" if detail["type"] == "missing" else "see Prometheus' file_sd_config"
    return Finding(tuple(detail["loc"]), str(detail["msg"]), mend)


def _error(path: Path, content: bytes, findings: Iterable[Finding]) -> ConfigError:
    """Give findings their lines; that takes a slower parser, and only a broken file comes here."""
    source = yaml_source.parse(content.decode("utf-8", "replace").expandtabs(), {})
    return ConfigError(
        Problem(str(path), source.place(f.location)[0], ".".join(map(str, f.location)), f.message, f.mend)
        for f in findings
    )


def _url(address: str, group: FileSd) -> str:
    return address if "://" in address else f"http://{address}{group.path}"


def _target(name: str, agent_type: str, url: str, defaults: ProbeSettings, own: Agent | FileSd) -> Target:
    return Target(name, agent_type, url, **resolve(defaults, own))
