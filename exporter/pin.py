"""`python -m exporter pin`: approve the tools that agents list now, by writing their hashes into the pinned file."""

import asyncio
import sys
from collections.abc import Sequence
from typing import TextIO

from contract.vocabulary import ProbeOutcome
from exporter.clients import Clients, open_session
from exporter.config import ExporterConfig
from exporter.file_sd import TargetFiles
from exporter.mcp_client import conversation
from exporter.outcome import Failure
from exporter.targets import Target, of_config, unique
from exporter.tool_listing import list_tools
from exporter.tool_pins import Drift, Fingerprints, drift, pins_text, read_pins

AT_ONCE = 100


async def write(config: ExporterConfig, names: Sequence[str] = (), *, to_output: bool = False) -> int:
    """List the tools of all MCP agents (or the named ones), show what changes, write the file; return an exit code.

    An agent that does not answer keeps its pinned tools, and makes the exit code 1. With `to_output` the file's text
    goes to standard output and everything else to standard error, for where the file cannot be written.
    """
    if config.pinned_tools is None:
        print("pinned_tools is not set in the configuration; name the file to write there first", file=sys.stderr)
        return 2
    said = sys.stderr if to_output else sys.stdout
    before = read_pins(config.pinned_tools) if config.pinned_tools.exists() else {}
    targets = _chosen(config, names)
    listed = await _list_all(config, targets)
    after = {
        **before,
        **{name: tools for name, tools in listed.items() if not isinstance(tools, Failure)},
    }
    if not names:
        after = {target.name: after[target.name] for target in targets if target.name in after}
    _tell(listed, before, after, said)
    if to_output:
        print(pins_text(after), end="")
    else:
        config.pinned_tools.write_text(pins_text(after), encoding="utf-8")
    print(f"{config.pinned_tools}: {sum(map(len, after.values()))} tools of {len(after)} agents", file=said)
    return 1 if any(isinstance(tools, Failure) for tools in listed.values()) or not listed else 0


def _chosen(config: ExporterConfig, names: Sequence[str]) -> list[Target]:
    targets, _ = unique([*of_config(config), *TargetFiles(config).scan()])
    found = [target for target in targets if target.probe == "mcp" and (not names or target.name in names)]
    for name in set(names) - {target.name for target in found}:
        print(f"{name}: no such MCP agent", file=sys.stderr)
    return found


async def _list_all(config: ExporterConfig, targets: Sequence[Target]) -> dict[str, Fingerprints | Failure]:
    free = asyncio.Semaphore(AT_ONCE)
    async with open_session() as session:
        clients = Clients(session, config.credentials)
        return dict(await asyncio.gather(*(_list(target, clients, free) for target in targets)))


async def _list(target: Target, clients: Clients, free: asyncio.Semaphore) -> tuple[str, Fingerprints | Failure]:
    http = clients.make(target.url, target.credentials, target.ca_file)
    try:
        async with free, asyncio.timeout(target.timeout), conversation(http) as dialog:
            return target.name, dialog if isinstance(dialog, Failure) else await list_tools(dialog)
    except TimeoutError:
        return target.name, Failure(ProbeOutcome.TIMEOUT, f"no complete answer within {target.timeout:g}s")


def _tell(
    listed: dict[str, Fingerprints | Failure],
    before: dict[str, Fingerprints],
    after: dict[str, Fingerprints],
    said: TextIO,
) -> None:
    for name, tools in listed.items():
        if isinstance(tools, Failure):
            print(f"{name}: {tools.outcome}: {tools.detail}; its pinned tools stay", file=sys.stderr)
            continue
        changes = drift(before.get(name, {}), after[name])
        for kind, changed in zip(Drift._fields, changes, strict=True):
            for tool in changed:
                print(f"{name}: {tool} {kind}", file=said)
