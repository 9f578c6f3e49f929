"""Reading the exporter's configuration: what fields alone cannot show, found before anything runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contract import config as contract_config
from contract.config import Finding, Loaded, Location
from exporter.config import ExporterConfig, ProbeSettings, resolve
from exporter.tool_pins import read_pins

RESERVED_TYPES = ("status", "score")


def load(path: Path) -> Loaded[ExporterConfig]:
    """Read the file. Raises ConfigError with every problem."""
    return contract_config.load(path, ExporterConfig, check)


def check(config: ExporterConfig) -> Iterator[Finding]:
    """Find what fields alone cannot show: duplicates, dangling names, things defined but unused."""
    yield from _check_agents(config)
    yield from _duplicates("workflow_sources", [source.name for source in config.workflow_sources])
    yield from _check_credentials(config)
    yield from _check_types(config)
    yield from _check_pins(config)


def _check_types(config: ExporterConfig) -> Iterator[Finding]:
    for index, agent_type in enumerate(config.agent_types):
        if agent_type in config.agent_types[:index]:
            yield Finding(("agent_types", index), f"type {agent_type} is listed twice", "remove one")
        if agent_type in RESERVED_TYPES:
            message = f"{agent_type} is a reserved word: /health has it beside the types"
            yield Finding(("agent_types", index), message, "choose another name")


def _check_pins(config: ExporterConfig) -> Iterator[Finding]:
    path = config.pinned_tools
    if path is None:
        return
    if not path.exists():
        mend = "write it with `make pin-tools`, or `exporter pin`"
        yield Finding(("pinned_tools",), f"{path} does not exist yet", mend, is_warning=True)
        return
    try:
        read_pins(path)
    except (OSError, ValueError) as error:
        yield Finding(("pinned_tools",), str(error), "")


def _check_agents(config: ExporterConfig) -> Iterator[Finding]:
    yield from _duplicates("agents", [agent.name for agent in config.agents])
    for index, agent in enumerate(config.agents):
        if agent.type not in config.types:
            mend = f"use one of {', '.join(config.types)}, or add it to agent_types"
            yield Finding(("agents", index, "type"), f"unknown agent type {agent.type!r}", mend)
    for location, settings in _settings(config):
        yield from _check_timing(location, config.defaults, settings)
    if not config.agents and not config.file_sd:
        yield Finding((), "no agents and no file_sd: nothing to probe", "add agents", is_warning=True)


def _check_timing(location: Location, defaults: ProbeSettings, settings: ProbeSettings) -> Iterator[Finding]:
    if location != ("defaults",) and not settings.model_fields_set & {"timeout", "interval"}:
        return  # Both come from the defaults, and a mistake is reported where it is written.
    merged = resolve(defaults, settings)
    if merged["timeout"] > merged["interval"]:
        field = "timeout" if "timeout" in settings.model_fields_set else "interval"
        yield Finding((*location, field), "the timeout is longer than the interval", "shorten it or probe less often")


def _duplicates(section: str, names: list[str]) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in first:
            message = f"the name {name} is already taken by {section}.{first[name]}"
            yield Finding((section, index, "name"), message, "names must differ")
        first.setdefault(name, index)


def _check_credentials(config: ExporterConfig) -> Iterator[Finding]:
    used = set()
    for location, name in _credential_uses(config):
        used.add(name)
        if name not in config.credentials:
            mend = f"known: {', '.join(config.credentials) or 'none'}; define it under credentials"
            yield Finding((*location, "credentials"), f"unknown credentials {name!r}", mend)
    for name in config.credentials:
        if name not in used:
            yield Finding(("credentials", name), "defined but never used", "use or remove it", is_warning=True)


def _credential_uses(config: ExporterConfig) -> Iterator[tuple[Location, str]]:
    users: list[tuple[Location, Any]] = [*_settings(config)]
    users += [(("workflow_sources", index), source) for index, source in enumerate(config.workflow_sources)]
    users += [(("prometheus",), config.prometheus), (("alertmanager",), config.alertmanager)]
    return ((location, user.credentials) for location, user in users if user is not None and user.credentials)


def _settings(config: ExporterConfig) -> Iterator[tuple[Location, ProbeSettings]]:
    yield ("defaults",), config.defaults
    for index, agent in enumerate(config.agents):
        yield ("agents", index), agent
    for index, group in enumerate(config.file_sd):
        yield ("file_sd", index), group
