"""Rights that were taken back stay so: whatever becomes of the file, and for requests and streams under way."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from auth_sidecar import gate
from auth_sidecar.__main__ import main
from auth_sidecar.app import Sidecar
from auth_sidecar.revocation import Revocation, Revocations
from contract.instruments import Instruments
from tests.auth_sidecar import sidecars
from tests.auth_sidecar.agents import Echo
from tests.auth_sidecar.issuer import Idp, mint
from tests.auth_sidecar.sidecars import Start, call, configuration, half_sent, post, records, samples

REVOKED = '[{"subject": "workflow-engine"}]'
UNUSABLE = {
    "": "the file is empty",
    " \n": "the file is empty",
    "[{": "Expecting property name",
    REVOKED[:-1]: "Expecting ',' delimiter",
    f"{REVOKED}{REVOKED}": "more than one document",
    "{}": "not a list of revocations",
    '[{"subject": "a", "subject": "b"}]': "duplicate key",
    '[{"issued_before": NaN}]': "NaN is not JSON",
    '[{"subject": "a", "until": NaN}]': "NaN is not JSON",
    '[{"issued_before": -1e999}]': "revocation 1: issued_before: Input should be a finite number",
    '[{"subject": "a"}, {"issued_before": "0"}]': "revocation 2: issued_before: Input should be a valid number",
    '[{"subject": "a", "until": true}]': "revocation 1: until: Input should be a valid number",
    '[{"subjekt": "a"}]': "revocation 1: subjekt: Extra inputs are not permitted",
    "[{}]": "a revocation of nothing",
    "[" * 100_000: "nested too deeply",
}


def revocations_in(file: Path) -> Revocations:
    return Revocations(file, Instruments(CollectorRegistry(), "sidecar"), lambda: None)


@pytest.mark.parametrize("text", UNUSABLE, ids=range(len(UNUSABLE)))
async def test_a_file_that_is_not_one_strict_list_lets_nobody_in(
    start_sidecar: Start, tmp_path: Path, text: str
) -> None:
    file, token = tmp_path / "revoked.json", mint()
    file.write_text(REVOKED)
    sidecar = await start_sidecar(revocations_file="revoked.json")
    assert (await post(sidecar, token, call("search_knowledge")))[0] == 401
    file.write_text(text)
    sidecar.revocations.check()
    assert (await post(sidecar, token, call("search_knowledge")))[0] == 500
    # Nor is it let in by whoever starts with such a file, as the successor of a dead worker does.
    fresh = revocations_in(file)
    fresh.check()
    assert not fresh.is_readable


def test_a_file_that_is_not_there_lets_nobody_in_from_the_start(tmp_path: Path) -> None:
    fresh = revocations_in(tmp_path / "revoked.json")
    assert not fresh.is_readable
    fresh.check()
    assert not fresh.is_readable
    with pytest.raises(OSError, match="cannot be read"):
        fresh.add(Revocation(subject="somebody"))
    assert list(tmp_path.iterdir()) == []


def test_check_tells_what_is_wrong_with_revocations_and_how_to_mend_it(
    tmp_path: Path, idp: Idp, echo: Echo, capsys: pytest.CaptureFixture[str]
) -> None:
    file = sidecars.write(tmp_path, configuration(idp.url, echo.url, revocations_file="revoked.json"))
    assert main(["--config", str(file), "--check"]) == 0
    missing = "the file does not exist (write [] into it when nothing is revoked)"
    cases: list[tuple[str | None, str]] = [*UNUSABLE.items(), (None, missing)]
    for text, problem in cases:
        if text is None:
            (tmp_path / "revoked.json").unlink()
        else:
            (tmp_path / "revoked.json").write_text(text)
        with pytest.raises(SystemExit) as ended:
            main(["--config", str(file), "--check"])
        assert ended.value.code == 2
        error = capsys.readouterr().err
        assert "revocations_file: " in error
        assert problem in error
        assert "write [] into it" in error or "[] is the list when nothing is revoked" in error


async def test_a_change_is_noticed_although_size_and_time_are_the_same(start_sidecar: Start, tmp_path: Path) -> None:
    file, token = tmp_path / "revoked.json", mint()
    file.write_text('[{"subject": "workflow-enginX"}]')
    os.utime(file, ns=(1, 1))
    sidecar = await start_sidecar(revocations_file="revoked.json")
    assert (await post(sidecar, token, call("search_knowledge")))[0] == 200
    file.write_text(REVOKED)
    os.utime(file, ns=(1, 1))
    sidecar.revocations.check()
    assert (await post(sidecar, token, call("search_knowledge")))[0] == 401


def test_a_revocation_is_written_in_one_step_through_a_link_and_whatever_the_file_is_called(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    target, link = folder / "revoked.new", tmp_path / "revoked.json"
    target.write_text("[]")
    link.symlink_to(target)
    kept = target.open()  # whoever reads meanwhile has the old file, whole
    revocations = revocations_in(link)
    revocations.check()
    revocations.add(Revocation(subject="somebody"))
    with kept:
        assert kept.read() == "[]"
    assert link.is_symlink()
    assert json.loads(target.read_text()) == [{"subject": "somebody"}]
    assert [path.name for path in folder.iterdir()] == ["revoked.new"]
    assert target.stat().st_mode & 0o777 == 0o600


def test_explain_knows_what_was_revoked(
    tmp_path: Path, idp: Idp, echo: Echo, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "jwks.json").write_bytes(idp.document)
    config = configuration(idp.url, echo.url, revocations_file="revoked.json")
    config["issuers"][0] = {"name": "demo", "issuer": config["issuers"][0]["issuer"], "jwks_file": "jwks.json"}
    file = sidecars.write(tmp_path, config)
    (tmp_path / "token").write_text(mint())
    words = ["--config", str(file), "--token-file", str(tmp_path / "token"), "--method", "tools/list"]
    assert main(["explain", *words]) == 0
    (tmp_path / "revoked.json").write_text(REVOKED)
    assert main(["explain", *words]) == 1
    assert "not authenticated: revoked" in capsys.readouterr().out


async def test_a_body_that_comes_after_the_revocation_is_refused_and_its_sender_is_known(
    sidecar: Sidecar, echo: Echo, tmp_path: Path
) -> None:
    async with half_sent(sidecar, mint(), "search_knowledge") as finish:
        sidecar.revocations.add(Revocation(subject="workflow-engine"))
        assert await finish() == 401
    assert echo.seen == []
    [record] = records(tmp_path)
    assert (record["reason"], record["actor"]) == ("revoked", "workflow-engine")


async def test_whoever_leaves_before_the_body_is_whole_is_recorded(sidecar: Sidecar, tmp_path: Path) -> None:
    async with half_sent(sidecar, mint(), "search_knowledge"):
        pass
    async with asyncio.timeout(10):
        while not records(tmp_path):
            await asyncio.sleep(0.01)
    [record] = records(tmp_path)
    assert (record["event"], record["reason"]) == ("authz_deny", "malformed_request")
    assert samples(sidecar.registry, "mcp_audit_events_total", event="authz_deny") == 1


@asynccontextmanager
async def streaming(echo: Echo) -> AsyncIterator[Callable[[bytes], Awaitable[None]]]:
    """Let the server behind answer with a stream that brings what it is told to, until the end of the block."""
    pieces: asyncio.Queue[bytes] = asyncio.Queue()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while piece := await pieces.get():
            await response.write(piece)
        return response

    echo.answer = stream
    yield pieces.put
    await pieces.put(b"")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_stream_ends_when_the_right_to_it_is_taken_back(sidecar: Sidecar, echo: Echo, method: str) -> None:
    headers = {"Authorization": f"Bearer {mint()}", "Accept": "text/event-stream"}
    message = call("search_knowledge") if method == "POST" else None
    async with streaming(echo) as bring, aiohttp.ClientSession() as session:
        await bring(b"data: 1\n\n")
        async with session.request(method, f"{sidecar.url}/kb/mcp", json=message, headers=headers) as answer:
            assert await answer.content.readany() == b"data: 1\n\n"
            sidecar.revocations.add(Revocation(subject="somebody-else"))
            await bring(b"data: 2\n\n")
            assert await answer.content.readany() == b"data: 2\n\n"
            sidecar.revocations.add(Revocation(subject="workflow-engine"))
            await bring(b"data: 3\n\n")
            async with asyncio.timeout(5):
                assert await answer.content.read() == b""


@pytest.mark.parametrize(("method", "rest"), [("GET", b""), ("POST", b"data: 2\n\n")])
async def test_only_a_stream_without_end_ends_with_its_token(
    sidecar: Sidecar, echo: Echo, monkeypatch: pytest.MonkeyPatch, method: str, rest: bytes
) -> None:
    monkeypatch.setattr(gate, "STREAM_LEEWAY_SECONDS", 0.0)
    headers = {"Authorization": f"Bearer {mint(exp=int(time.time()) + 1)}", "Accept": "text/event-stream"}
    message = call("search_knowledge") if method == "POST" else None
    async with aiohttp.ClientSession() as session:
        async with streaming(echo) as bring:
            await bring(b"data: 1\n\n")
            answer = await session.request(method, f"{sidecar.url}/kb/mcp", json=message, headers=headers)
            assert await answer.content.readany() == b"data: 1\n\n"
            await asyncio.sleep(1.1)
            await bring(b"data: 2\n\n")
        async with asyncio.timeout(5):
            assert await answer.content.read() == rest
