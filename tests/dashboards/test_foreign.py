"""The metrics of others that dashboards use are really exposed by the programs of both ends."""

from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.native.packages import Release
from tests.alertmanager.programs import running
from tests.dashboards.foreign import ALERTMANAGER, NODE
from tests.tools import tool

NOT_ON_EVERY_MACHINE = ("node_pressure_", "node_disk_", "node_filesystem_", "node_network_")
"""What a container without disks, a network or pressure in its kernel does not tell."""


async def exposed(url: str) -> dict[str, set[str]]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as response:
        families = text_string_to_metric_families(await response.text())
        found: dict[str, set[str]] = {}
        for family in families:
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    return found


def lacking(wanted: Mapping[str, tuple[str, ...]], found: Mapping[str, set[str]]) -> list[str]:
    return [name for name, labels in wanted.items() if name not in found or not set(labels) <= found[name]]


@pytest.mark.parametrize("release", ["new", "old"])
async def test_alertmanager_exposes_what_dashboards_ask_for(tmp_path: Path, release: Release) -> None:
    (tmp_path / "alertmanager.yml").write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    command = (tool("alertmanager", release), "--config.file=alertmanager.yml", f"--storage.path={tmp_path}/data")

    async with running(*command, "--web.listen-address=127.0.0.1:0", "--cluster.listen-address=", cwd=tmp_path) as url:
        assert lacking(ALERTMANAGER, await exposed(url)) == []


@pytest.mark.parametrize("release", ["new", "old"])
async def test_node_exporter_exposes_what_dashboards_ask_for(tmp_path: Path, release: Release) -> None:
    wanted = {name: labels for name, labels in NODE.items() if not name.startswith(NOT_ON_EVERY_MACHINE)}

    async with running(tool("node_exporter", release), "--web.listen-address=127.0.0.1:0", cwd=tmp_path) as url:
        assert lacking(wanted, await exposed(url)) == []
