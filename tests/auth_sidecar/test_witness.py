"""A real Prometheus scrapes the sidecar, and what it has seen proves a shortened log."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from auth_sidecar import audit_chain
from auth_sidecar.__main__ import main
from contract.ports import free_port
from tests.auth_sidecar.agents import Echo
from tests.auth_sidecar.issuer import Idp, mint
from tests.auth_sidecar.sidecars import Start, call, post
from tests.auth_sidecar.test_workers import lengths, running
from tests.tools import tool


@asynccontextmanager
async def prometheus(admin_url: str, folder: Path) -> AsyncIterator[str]:
    """Run Prometheus with the sidecar as its only target and yield its URL."""
    folder.mkdir()
    target = admin_url.removeprefix("http://")
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        f"scrape_configs: [{{job_name: auth-sidecar, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        str(tool("prometheus")), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}", stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def seen(url: str, length: int, labels: str = "") -> None:
    """Wait until Prometheus has scraped a chain of that length."""
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        while True:
            try:
                answer = await session.get(
                    f"{url}/api/v1/query", params={"query": f"mcp_audit_chain_length{labels} >= {length}"}
                )
                if (await answer.json())["data"]["result"]:
                    return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


async def test_a_log_that_was_shortened_after_a_scrape_is_found(
    start_sidecar: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sidecar = await start_sidecar()
    for _ in range(5):
        await post(sidecar, mint(), call("search_knowledge"))
    words = ["audit", "verify", "--config", str(tmp_path / "sidecar.yaml"), "--prometheus"]
    async with prometheus(sidecar.admin_url, tmp_path / "prometheus") as url:
        await seen(url, 6)
        assert await asyncio.to_thread(main, [*words, url]) == 0
        assert "samples of Prometheus agree" in capsys.readouterr().out
        (segment,) = audit_chain.segments(tmp_path / "audit")
        segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:3]))
        assert await asyncio.to_thread(main, [*words[:-1]]) == 0
        assert await asyncio.to_thread(main, [*words, url]) == 1
    assert "Prometheus has seen it, the log ends with record 3" in capsys.readouterr().out


async def test_a_chain_of_a_worker_that_was_shortened_or_has_gone_is_found(
    tmp_path: Path, idp: Idp, echo: Echo, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path, idp, echo, workers=2) as sidecar:
        await asyncio.gather(*(sidecar.post(mint()) for _ in range(30)))
        written = lengths(tmp_path)
        words = ["audit", "verify", "--config", str(tmp_path / "sidecar.yaml"), "--prometheus"]
        async with prometheus(sidecar.admin_url, tmp_path / "prometheus") as url:
            for chain, length in written.items():
                await seen(url, length, f'{{chain="{chain}"}}')
            assert await asyncio.to_thread(main, [*words, url]) == 0
            (segment,) = audit_chain.segments(tmp_path / "audit" / "chain-2")
            segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:2]))
            shutil.rmtree(tmp_path / "audit" / "chain-1")
            capsys.readouterr()
            assert await asyncio.to_thread(main, [*words, url]) == 1
    told = capsys.readouterr().out
    assert "chain 2: log: record" in told
    assert "chain 1: BROKEN, Prometheus has seen it, and nothing is left of it" in told
    assert "chain 0: whole" in told
