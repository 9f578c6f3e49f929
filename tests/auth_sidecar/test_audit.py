"""The audit log: every way to tamper with it is found, every crash leaves a log that recovers and verifies."""

import asyncio
import hmac
import json
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from auth_sidecar import audit_chain
from auth_sidecar.__main__ import main
from auth_sidecar.audit_chain import Sealer
from auth_sidecar.audit_log import AuditLog, Durability, Rotation
from auth_sidecar.audit_verify import Walk, Witness, verify
from auth_sidecar.audit_watch import AuditWatch
from contract.instruments import Instruments
from contract.vocabulary import AuditEvent
from tests.auth_sidecar import sidecars
from tests.auth_sidecar.issuer import mint
from tests.auth_sidecar.sidecars import KEY, Start, call, post, records, samples

SEALER = Sealer(KEY.encode())


def log(folder: Path, **options: object) -> AuditLog:
    """Return an opened log with metrics of its own."""
    made = AuditLog(folder, [KEY.encode()], Instruments(CollectorRegistry(), "sidecar"), clock=time.time, **options)  # type: ignore[arg-type]
    made.open()
    return made


async def written(folder: Path, count: int, **options: object) -> AuditLog:
    """Return a closed log with that many records, start and stop included."""
    made = log(folder, **options)
    for number in range(count - 2):
        assert await made.append(AuditEvent.AUTHZ_ALLOW, audit_chain.fragment({"event": "authz_allow", "n": number}))
    await made.close()
    return made


def problems(folder: Path, *witnesses: Witness) -> list[str]:
    return [str(problem) for problem in verify(folder, [SEALER], witnesses).problems]


def test_the_seal_is_hmac_sha256_over_the_line() -> None:
    (line,), link = SEALER.seal(audit_chain.Link(), "2026-01-01T00:00:00.000000Z", [b'"event":"admin"'])
    body = line[: line.index(b',"mac":')]
    expected = hmac.digest(KEY.encode(), b"mcp-lookout-audit-v1\0" + body, "sha256").hex()
    assert json.loads(line) == {
        "v": 1, "seq": 1, "ts": "2026-01-01T00:00:00.000000Z", "event": "admin", "prev": "0" * 64, "mac": expected,
    }  # fmt: skip
    assert (link.length, link.head, link.head_number) == (1, expected, int(expected[:13], 16))
    long = Sealer(b"k" * 100)
    assert long.mac(b"x") == hmac.digest(b"k" * 100, b"mcp-lookout-audit-v1\0x", "sha256").hex()


async def test_a_whole_log_verifies_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    first = await written(tmp_path, 10)
    second = await written(tmp_path, 10)
    assert (first.link.length, second.link.length) == (10, 20)
    assert problems(tmp_path) == []
    assert len(audit_chain.segments(tmp_path)) == 2


async def test_only_one_process_writes(tmp_path: Path) -> None:
    first = log(tmp_path)
    with pytest.raises(OSError, match="unavailable"):
        log(tmp_path)
    await first.close()


async def test_every_way_to_tamper_is_found(tmp_path: Path) -> None:
    await written(tmp_path, 10)
    (segment,) = audit_chain.segments(tmp_path)
    lines = segment.read_bytes().splitlines(keepends=True)
    forged = b'{"v":1,"seq":5,"ts":"x","event":"authz_allow","prev":"' + b"0" * 64 + b'","mac":"' + b"0" * 64 + b'"}\n'
    other_key, _ = Sealer(b"another key").seal(
        audit_chain.Link(4, json.loads(lines[3])["mac"]), "x", [b'"event":"authz_allow"']
    )
    ways = {
        "altered": [*lines[:4], lines[4].replace(b'"n":3', b'"n":4'), *lines[5:]],
        "removed": [*lines[:4], *lines[5:]],
        "reordered": [*lines[:4], lines[5], lines[4], *lines[6:]],
        "repeated": [*lines[:5], lines[4], *lines[5:]],
        "forged": [*lines[:4], forged, *lines[5:]],
        "other key": [*lines[:4], *other_key, *lines[5:]],
        "beginning cut": lines[3:],
        "garbage": [*lines, b"garbage\n"],
    }
    for way, changed in ways.items():
        segment.write_bytes(b"".join(changed))
        assert problems(tmp_path), way
    segment.write_bytes(b"".join(lines))
    assert problems(tmp_path) == []


async def test_a_cut_end_and_a_rewritten_log_contradict_prometheus(tmp_path: Path) -> None:
    made = await written(tmp_path, 10)
    witness = Witness(1.0, 10, made.link.head_number)
    (segment,) = audit_chain.segments(tmp_path)
    whole = segment.read_bytes()
    assert problems(tmp_path, witness) == []
    segment.write_bytes(b"".join(whole.splitlines(keepends=True)[:6]))
    assert problems(tmp_path) == []
    assert "Prometheus has seen it, the log ends with record 6" in problems(tmp_path, witness)[0]
    segment.unlink()
    await written(tmp_path, 12)  # by somebody who has the key
    assert problems(tmp_path) == []
    assert "Prometheus has seen another record here" in problems(tmp_path, witness)[0]


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 5000))
def test_a_crash_at_any_byte_leaves_a_log_that_recovers(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = tmp_path_factory.mktemp("log")

    async def crash_and_go_on() -> int:
        await written(folder, 12)
        (segment,) = audit_chain.segments(folder)
        with segment.open("rb+") as file:
            file.truncate(min(cut, segment.stat().st_size))
        kept = segment.read_bytes().count(b"\n")
        made = await written(folder, 5)
        assert problems(folder) == []
        return made.link.length - kept

    assert asyncio.run(crash_and_go_on()) == 5


async def test_a_last_record_that_does_not_verify_is_shouted_about(tmp_path: Path) -> None:
    await written(tmp_path, 10)
    (segment,) = audit_chain.segments(tmp_path)
    segment.write_bytes(segment.read_bytes()[:-5] + b'xx"}\n')
    registry = CollectorRegistry()
    made = AuditLog(tmp_path, [KEY.encode()], Instruments(registry, "sidecar"), clock=time.time)
    made.open()
    await made.close()
    assert samples(registry, "mcp_audit_chain_broken") == 1
    assert problems(tmp_path)


async def test_rotation_and_retention_keep_the_chain(tmp_path: Path) -> None:
    clock = [1000.0]
    made = AuditLog(
        tmp_path, [KEY.encode()], Instruments(CollectorRegistry(), "sidecar"),
        rotation=Rotation(max_bytes=2000, max_age_seconds=60, retention_seconds=600), clock=lambda: clock[0],
    )  # fmt: skip
    made.open()
    for number in range(40):
        await made.append(AuditEvent.AUTHZ_ALLOW, audit_chain.fragment({"event": "authz_allow", "n": number}))
    kept = audit_chain.segments(tmp_path)
    assert len(kept) > 3
    assert problems(tmp_path) == []
    for segment in kept[:2]:
        os.utime(segment, (clock[0], clock[0]))
    clock[0] += 700
    for segment in kept[2:]:
        os.utime(segment, (clock[0], clock[0]))
    await made.append(AuditEvent.AUTHZ_ALLOW, audit_chain.fragment({"event": "authz_allow"}))
    await made.close()
    assert not kept[0].exists()
    assert not kept[1].exists()
    assert kept[2].exists()
    assert problems(tmp_path) == []
    walk = verify(tmp_path, [SEALER])
    assert walk.starts_after is not None
    assert walk.starts_after.length == audit_chain.first_number(kept[2]) - 1
    kept[2].unlink()
    assert "no record tells that older ones expired" in problems(tmp_path)[-1]


async def test_a_retired_key_still_opens_what_it_sealed(tmp_path: Path) -> None:
    await written(tmp_path, 5)
    made = AuditLog(tmp_path, [b"new key", KEY.encode()], Instruments(CollectorRegistry(), "sidecar"), clock=time.time)
    made.open()
    await made.close()
    assert verify(tmp_path, [Sealer(b"new key"), SEALER]).is_whole
    assert not verify(tmp_path, [Sealer(b"new key")]).is_whole


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process can grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(("policy", "status"), [("deny", 503), ("allow", 200)])
async def test_a_full_disk_is_decided_by_configuration(
    start_sidecar: Start, tmp_path: Path, policy: str, status: int
) -> None:
    sidecar = await start_sidecar(audit={"folder": "audit", "key_file": "audit_key", "on_failure": policy})
    token = mint()
    assert (await post(sidecar, token, call("search_knowledge")))[0] == 200
    with full_disk():
        assert (await post(sidecar, token, call("search_knowledge")))[0] == status
        assert (await post(sidecar, None, call("search_knowledge")))[0] == 401
    assert (await post(sidecar, token, call("search_knowledge")))[0] == 200
    assert samples(sidecar.registry, "mcp_audit_write_errors_total") == 2
    assert samples(sidecar.registry, "mcp_auth_fail_open_total", control="audit") == (policy == "allow")
    assert [record["reason"] for record in records(tmp_path)] == ["ok", "ok"]
    assert problems(tmp_path / "audit") == []


WRITER = """
import asyncio, os, sys, time
from pathlib import Path
from prometheus_client import CollectorRegistry
from auth_sidecar import audit_chain
from auth_sidecar.audit_log import AuditLog, Durability
from contract.instruments import Instruments
from contract.vocabulary import AuditEvent

def say(text):
    os.write(1, f"{text}\\n".encode())

async def one(log, number):
    body = audit_chain.fragment({"event": "authz_allow", "n": number})
    if await log.append(AuditEvent.AUTHZ_ALLOW, body):
        say(number)

async def write(number):
    log = AuditLog(Path(sys.argv[1]), [sys.argv[2].encode()], Instruments(CollectorRegistry(), "sidecar"),
                   durability=Durability(sys.argv[3]), clock=time.time)
    log.open()
    while True:
        await asyncio.gather(*(one(log, number + i) for i in range(7)))
        number += 7

# Writers are forked, so that a hundred of them take seconds.
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        say(f"pid {os.getpid()}")
        asyncio.run(write(int(line)))
    os.waitpid(pid, 0)
    say("dead")
"""


@pytest.mark.parametrize("durability", list(Durability))
async def test_nothing_that_was_answered_is_missing_after_kill_9(tmp_path: Path, durability: Durability) -> None:
    rounds = int(os.environ.get("LOOKOUT_KILLS", "100"))
    answered: set[int] = set()
    chance = random.Random(1)  # noqa: S311 - when to kill, not a secret
    words = [sys.executable, "-c", WRITER, str(tmp_path), KEY, durability]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe)
    assert process.stdout
    assert process.stdin
    for turn in range(rounds):
        process.stdin.write(b"%d\n" % (turn * 1_000_000))
        victim = int((await process.stdout.readline()).split()[1])
        if turn % 10:  # every tenth dies while it opens the log, maybe in its first batch
            answered.add(int(await process.stdout.readline()))
        await asyncio.sleep(chance.random() * 0.02)
        os.kill(victim, signal.SIGKILL)
        while (line := await process.stdout.readline()) != b"dead\n":
            answered.add(int(line))
    process.stdin.close()
    assert await process.wait() == 0
    await log(tmp_path).close()
    assert problems(tmp_path) == []
    found = {
        json.loads(line).get("n") for segment in audit_chain.segments(tmp_path) for line in audit_chain.lines(segment)
    }
    assert answered <= found
    assert len(answered) > rounds


@pytest.mark.parametrize("durability", list(Durability))
async def test_a_record_that_cannot_be_made_keeps_nobody_waiting(tmp_path: Path, durability: Durability) -> None:
    made = log(tmp_path, durability=durability)
    good = audit_chain.fragment({"event": "authz_allow"})
    no_bytes: bytes = None  # type: ignore[assignment]
    async with asyncio.timeout(5):
        together = [made.append(AuditEvent.AUTHZ_ALLOW, body) for body in (good, no_bytes, good)]
        assert await asyncio.gather(*together) == [False] * 3
        assert await made.append(AuditEvent.AUTHZ_ALLOW, good)
        await made.close()
    assert problems(tmp_path) == []
    assert verify(tmp_path, [SEALER]).link.length == 3


async def test_the_background_verifier_follows_the_log_and_finds_what_is_altered(tmp_path: Path) -> None:
    made = await written(tmp_path, 10)
    registry = CollectorRegistry()
    watch = AuditWatch(tmp_path, [SEALER], Instruments(registry, "sidecar"), whole_every=100)
    await watch.look()
    assert samples(registry, "mcp_audit_verified_length") == 10
    await written(tmp_path, 5)
    await watch.look()
    assert samples(registry, "mcp_audit_verified_length") == made.link.length + 5
    assert samples(registry, "mcp_audit_chain_broken") == 0
    segment = audit_chain.segments(tmp_path)[-1]
    segment.write_bytes(segment.read_bytes() + b"forged\n")
    await watch.look()
    assert samples(registry, "mcp_audit_chain_broken") == 1


async def test_counters_equal_the_log_and_the_answers(start_sidecar: Start, tmp_path: Path) -> None:
    sidecar = await start_sidecar()
    requests = [(mint(jti=str(n)), "search_knowledge") for n in range(10)]
    requests += [("bad", "x")] * 10 + [(mint(), "delete_everything")] * 10 + [(mint(), "unheard_of")] * 5
    answers = await asyncio.gather(*(post(sidecar, token, call(tool)) for token, tool in requests))
    found = records(tmp_path)
    assert len(found) == len(answers) == 35
    assert sorted(record["status"] for record in found) == sorted(answer[0] for answer in answers)
    counted = samples(sidecar.registry, "mcp_auth_authentications_total", result="failure")
    counted += samples(sidecar.registry, "mcp_auth_authorizations_total")
    assert counted == 35
    length = samples(sidecar.registry, "mcp_audit_chain_length")
    assert (
        length
        == verify(tmp_path / "audit", [SEALER]).link.length
        == samples(sidecar.registry, "mcp_audit_events_total")
    )
    assert samples(sidecar.registry, "mcp_audit_chain_head") == verify(tmp_path / "audit", [SEALER]).link.head_number


async def test_verify_and_query_on_the_command_line(
    start_sidecar: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sidecar = await start_sidecar()
    await post(sidecar, mint(), call("search_knowledge"))
    await post(sidecar, mint(), call("delete_everything"))
    await post(sidecar, None, call("x"))
    config = ["--config", str(tmp_path / "sidecar.yaml")]
    assert main(["audit", "verify", *config]) == 0
    assert capsys.readouterr().out.startswith("whole: records 1 to 4, 4 verified")
    for words, count in (
        ([], 4),
        (["--reason", "no_permission"], 1),
        (["--actor", "workflow-engine"], 2),
        (["--since", "1h"], 4),
        (["--until", "1h"], 0),
        (["--since", "2020-01-01", "--event", "auth_failure"], 1),
    ):
        assert main(["audit", "query", *config, *words]) == 0
        assert len(capsys.readouterr().out.splitlines()) == count
    (segment,) = audit_chain.segments(tmp_path / "audit")
    segment.write_bytes(segment.read_bytes().replace(b"no_permission", b"no_permissiom"))
    assert main(["audit", "verify", *config]) == 1
    assert "record 3: its seal does not fit" in capsys.readouterr().out
    segment.rename(tmp_path / "elsewhere")
    for command in ("verify", "query", "reseal"):
        assert await asyncio.to_thread(main, ["audit", command, *config]) == 2
        assert f"no audit log in {tmp_path / 'audit'}" in capsys.readouterr().err
    words = ["audit", "verify", *config, "--prometheus", "http://127.0.0.1:1"]
    assert await asyncio.to_thread(main, words) == 3


@pytest.mark.parametrize("form", ["native", "ocsf", "ecs"])
async def test_query_survives_lines_that_are_no_records_and_shows_what_a_terminal_would_obey(
    start_sidecar: Start, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sidecar = await start_sidecar()
    await post(sidecar, mint(), call("search\u009b31m\u202eknowledge"))
    (segment,) = audit_chain.segments(tmp_path / "audit")
    odd = ['{"v":1}', '{"v":1,"seq":9,"ts":7}', '{"seq":9,"ts":"2026-01-01T00:00:00"}', '{"ts":"2026-01-01T00:00:00Z"}']
    with segment.open("a") as file:
        file.writelines(f'{line[:-1]},"mac":"{"0" * 64}"}}\n' for line in odd)
    assert main(["audit", "query", "--config", str(tmp_path / "sidecar.yaml"), "--since", "1h", "--format", form]) == 0
    printed = capsys.readouterr()
    assert printed.err.count("a line that is no record") == len(odd)
    assert printed.out.replace("\n", "").isprintable()
    assert "search\\u009b31m\\u202eknowledge" in printed.out


@pytest.mark.parametrize("form", ["ocsf", "ecs"])
async def test_records_in_the_forms_of_security_tools(
    start_sidecar: Start, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sidecar = await start_sidecar()
    await post(sidecar, mint(), call("search_knowledge"))
    await post(sidecar, None, call("x"))
    main(["audit", "query", "--config", str(tmp_path / "sidecar.yaml"), "--format", form, "--agent", "kb-1"])
    allowed, failed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    if form == "ocsf":
        assert (allowed["class_uid"], allowed["type_uid"], allowed["status_id"]) == (6003, 600399, 1)
        assert allowed["actor"]["user"]["name"] == "workflow-engine"
        assert allowed["api"]["operation"] == "tools/call search_knowledge"
        assert (failed["class_uid"], failed["activity_id"], failed["status_id"]) == (3002, 1, 2)
    else:
        assert (allowed["event"]["outcome"], allowed["event"]["type"]) == ("success", ["allowed"])
        assert (failed["event"]["outcome"], failed["event"]["reason"]) == ("failure", "missing_auth_header")
        assert allowed["user"]["roles"] == ["workflow_operator", "agent_service"]


async def test_a_chain_that_was_put_in_the_place_of_another_is_found(tmp_path: Path) -> None:
    await written(tmp_path, 4)
    for chain in ("1", "2"):
        await written(tmp_path, 5, chain=chain)
    assert [verify(path, [SEALER]).is_whole for path in audit_chain.chains(tmp_path).values()] == [True] * 3
    (first,) = audit_chain.segments(tmp_path / "chain-1")
    for place in (tmp_path / "chain-2", tmp_path):
        shutil.copy(first, place)
        assert problems(place) == [f"{first.name}: record 1: it is a record of chain 1, put here"]
    registry = CollectorRegistry()
    await AuditWatch(tmp_path, [SEALER], Instruments(registry, "sidecar"), whole_every=60, chain="2").look()
    assert samples(registry, "mcp_audit_chain_broken") == 1


def test_an_empty_log_is_whole(tmp_path: Path) -> None:
    assert verify(tmp_path, [SEALER]).is_whole
    assert Walk([SEALER], audit_chain.MAIN).is_whole


async def test_the_folder_of_the_log_is_nobody_elses(tmp_path: Path) -> None:
    await written(tmp_path / "log", 3)
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o700
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in (tmp_path / "log").iterdir())


async def test_length_and_head_that_are_told_belong_together_at_every_moment(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    made = AuditLog(
        tmp_path, [KEY.encode()], Instruments(registry, "sidecar"), clock=time.time, durability=Durability.FSYNC,
        rotation=Rotation(max_bytes=1),
    )  # fmt: skip
    made.open()
    told = set()
    body = audit_chain.fragment({"event": "authz_allow"})
    for _ in range(50):
        writing = asyncio.ensure_future(made.append(AuditEvent.AUTHZ_ALLOW, body))
        while not writing.done():
            told.add((samples(registry, "mcp_audit_chain_length"), samples(registry, "mcp_audit_chain_head")))
            await asyncio.sleep(0)
    await made.close()
    assert len(told) >= 50
    assert problems(tmp_path, *(Witness(1.0, int(length), int(head)) for length, head in told)) == []


async def test_the_log_can_be_written_with_fsync(start_sidecar: Start, tmp_path: Path) -> None:
    sidecar = await start_sidecar(audit={"folder": "audit", "key_file": "audit_key", "durability": "fsync"})
    token = mint()
    answers = await asyncio.gather(*(post(sidecar, token, call("search_knowledge")) for _ in range(30)))
    assert {answer[0] for answer in answers} == {200}
    assert len(records(tmp_path)) == 30
    assert sidecars.KEY not in json.dumps(records(tmp_path))
