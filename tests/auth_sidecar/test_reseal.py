"""Old encryption keys can be retired: what they sealed moves to the newest, and the log proves the same as before."""

import asyncio
import base64
import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from auth_sidecar import audit_chain, reseal
from auth_sidecar.__main__ import main
from auth_sidecar.audit_chain import Sealer
from auth_sidecar.audit_verify import Witness, verify
from auth_sidecar.audit_watch import AuditWatch
from contract.instruments import Instruments
from tests.auth_sidecar.issuer import mint
from tests.auth_sidecar.sidecars import KEY, Start, call, post, samples

SEALER = Sealer(KEY.encode())


def key(folder: Path, name: str, created: str) -> dict[str, str]:
    """Write a key and return its entry."""
    file = folder / name
    if not file.exists():
        file.write_text(base64.urlsafe_b64encode(os.urandom(32)).decode())
        file.chmod(0o600)
    return {"id": name, "key_file": name, "created": created}


def options(folder: Path, *keys: dict[str, str], **audit: Any) -> dict[str, Any]:
    """Return the part of a configuration that seals; segments are small."""
    sealed = {"client": True, "arguments": True}
    audit = {"folder": "audit", "key_file": "audit_key", "sealed": sealed, "max_segment_bytes": 4096, **audit}
    return {"audit": audit, "encryption_keys": list(keys)}


def use(folder: Path, *keys: dict[str, str]) -> list[str]:
    """Change the keys of the configuration and return the words that name it."""
    file = folder / "sidecar.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "encryption_keys": list(keys)}))
    return ["--config", str(file)]


async def calls(start_sidecar: Start, folder: Path, count: int, *keys: dict[str, str]) -> Witness:
    """Let a sidecar write sealed records and return what a scrape of it would have seen."""
    sidecar = await start_sidecar(**options(folder, *keys))
    token = mint()
    for number in range(count):
        message = call("search_knowledge", params={"name": "search_knowledge", "arguments": {"query": f"q{number}"}})
        assert (await post(sidecar, token, message))[0] == 200
    await sidecar.close()
    length = samples(sidecar.registry, "mcp_audit_chain_length")
    return Witness(1.0, int(length), int(samples(sidecar.registry, "mcp_audit_chain_head")))


def queries(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the sealed arguments of all records."""
    capsys.readouterr()
    assert main(["audit", "query", *words, "--unseal", "--event", "authz_allow"]) == 0
    return [json.loads(line)["arguments"]["query"] for line in capsys.readouterr().out.splitlines()]


async def test_an_old_key_is_needed_no_more_and_the_witness_still_agrees(
    start_sidecar: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = key(tmp_path, "old", "2026-01-01"), key(tmp_path, "new-with-another-length", "2026-06-01")
    witness = await calls(start_sidecar, tmp_path, 20, old)
    watch = AuditWatch(
        tmp_path / "audit", [SEALER], Instruments(registry := CollectorRegistry(), "sidecar"), whole_every=99
    )
    await watch.look()
    await calls(start_sidecar, tmp_path, 20, old, new)
    words = use(tmp_path, new)  # too early
    assert await asyncio.to_thread(main, ["audit", "verify", *words]) == 1
    assert "20 records have sealed fields whose key is not among encryption_keys" in capsys.readouterr().out
    assert main(["audit", "query", *words, "--unseal", "--event", "authz_allow"]) == 0
    printed = capsys.readouterr()
    assert (printed.out.count('"arguments"'), printed.err.count("cannot be opened with the key 'old'")) == (20, 20)
    words = use(tmp_path, old, new)
    old_files = {path: path.stat().st_mtime_ns for path in audit_chain.segments(tmp_path / "audit")}
    assert await asyncio.to_thread(main, ["audit", "reseal", *words]) == 0
    told = capsys.readouterr().out
    assert "old: 20 records moved to the newest key" in told
    assert "older keys can be taken out" in told
    words = use(tmp_path, new)
    assert queries(words, capsys) == [f"q{number}" for number in range(20)] * 2
    assert await asyncio.to_thread(main, ["audit", "verify", *words]) == 0
    assert verify(tmp_path / "audit", [SEALER], [witness]).is_whole
    assert {path: path.stat().st_mtime_ns for path in old_files} == old_files
    (event,) = [
        fields
        for segment in audit_chain.segments(audit_chain.chain_folder(tmp_path / "audit", reseal.CHAIN))
        for line in audit_chain.lines(segment)
        if (fields := audit_chain.read(line)).get("segment") == "audit-000000000001.jsonl"
    ]
    assert (event["action"], event["chain"], "old" in event["records_by_old_key"]) == ("segment_resealed", "0", True)
    # Whoever was reading the log in the meantime goes on where it was.
    await watch.look()
    assert samples(registry, "mcp_audit_chain_broken") == 0
    assert samples(registry, "mcp_audit_verified_length") == verify(tmp_path / "audit", [SEALER]).link.length
    assert await asyncio.to_thread(main, ["audit", "reseal", *words]) == 0
    assert "moved" not in capsys.readouterr().out


async def test_beside_a_running_sidecar_only_ended_segments_are_moved(
    start_sidecar: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = key(tmp_path, "old", "2026-01-01"), key(tmp_path, "new", "2026-06-01")
    sidecar = await start_sidecar(**options(tmp_path, old))
    for _ in range(20):
        await post(sidecar, mint(), call("search_knowledge"))
    words = use(tmp_path, old, new)
    assert await sidecar.reloader.reload() == ()
    load = asyncio.gather(*(post(sidecar, mint(), call("search_knowledge")) for _ in range(40)))
    assert await asyncio.to_thread(main, ["audit", "reseal", *words]) == 0
    assert {status for status, _, _ in await load} == {200}
    assert "records moved to the newest key" in capsys.readouterr().out
    assert await asyncio.to_thread(main, ["audit", "verify", *words]) == 0


async def test_what_was_altered_is_not_moved_and_records_of_version_1_say_why_they_stay(
    start_sidecar: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = key(tmp_path, "old", "2026-01-01"), key(tmp_path, "new", "2026-06-01")
    await calls(start_sidecar, tmp_path, 20, old)
    first, second, *_ = audit_chain.segments(tmp_path / "audit")
    lines = first.read_bytes().splitlines(keepends=True)
    packages = [audit_chain.parts(line.rstrip(b"\n")).package for line in lines]
    lines[1] = lines[1].replace(packages[1], packages[2])
    first.write_bytes(b"".join(lines))
    second_lines = second.read_bytes().splitlines()
    body = audit_chain.fragment({"event": "authz_allow", "sealed": json.loads(packages[1])})
    second.write_bytes(SEALER.seal(audit_chain.Link(), "2026-01-01T00:00:00.000000Z", [body])[0][0])
    words = use(tmp_path, old, new)
    before = first.read_bytes(), second.read_bytes()
    assert await asyncio.to_thread(main, ["audit", "reseal", *words]) == 1
    told = capsys.readouterr().out
    assert f"chain 0: {first.name}: the sealed fields of record 2 were altered" in told
    assert "1 records are of version 1, whose seal covers the package itself" in told
    assert (first.read_bytes(), second.read_bytes()) == before
    assert len(second_lines) > 1


async def test_kill_9_at_any_point_leaves_a_whole_log(
    start_sidecar: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = [key(tmp_path, f"k{month}", f"2026-0{month}-01") for month in (1, 2, 3)]
    witness = await calls(start_sidecar, tmp_path, 60, keys[0])
    chance = random.Random(1)  # noqa: S311 - when to kill, not a secret
    for turn in range(8):
        words = use(tmp_path, *keys[: 2 + turn // 4])
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "auth_sidecar", "audit", "reseal", *words)
        await until_begun(tmp_path, process)
        await asyncio.sleep(chance.random() * 0.02)
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()
        assert verify(tmp_path / "audit", [SEALER], [witness]).is_whole
        assert queries(words, capsys) == [f"q{number}" for number in range(60)]
    words = use(tmp_path, *keys)
    assert await asyncio.to_thread(main, ["audit", "reseal", *words]) == 0
    assert list((tmp_path / "audit").glob("*.new")) == []
    assert await asyncio.to_thread(main, ["audit", "verify", *words]) == 0


async def until_begun(folder: Path, process: asyncio.subprocess.Process) -> None:
    """Wait until a run has opened its chain."""
    lock = audit_chain.chain_folder(folder / "audit", reseal.CHAIN)
    count = len(list(lock.glob("audit-*")))
    async with asyncio.timeout(20):
        while process.returncode is None and len(list(lock.glob("audit-*"))) <= count:
            await asyncio.sleep(0.001)
