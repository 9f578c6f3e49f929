"""The admin port: whoever reaches it from another machine changes nothing without the token."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request
from prometheus_client import CollectorRegistry

from auth_sidecar.admin import AdminGuard
from auth_sidecar.app import Sidecar
from contract.fields import SecretFile
from tests.auth_sidecar import sidecars
from tests.auth_sidecar.agents import Echo
from tests.auth_sidecar.issuer import Idp
from tests.auth_sidecar.sidecars import configuration, records

TOKEN = "a-token-of-the-admin-port"


@pytest.mark.parametrize(
    ("peer", "has_file", "authorization", "status"),
    [
        ("127.0.0.1", False, "", None),
        ("127.8.8.8", False, "", None),
        ("127.0.0.1", True, "", 401),
        ("127.0.0.1", True, f"Bearer {TOKEN}", None),
        ("::1", False, "", None),
        ("::ffff:127.0.0.1", False, "", None),
        ("10.0.0.7", False, "", 403),
        ("10.0.0.7", False, f"Bearer {TOKEN}", 403),
        ("10.0.0.7", True, "", 401),
        ("10.0.0.7", True, f"Bearer {TOKEN}x", 401),
        ("10.0.0.7", True, "Bearer é", 401),
        ("10.0.0.7", True, f"Bearer {TOKEN}", None),
        ("fe80::1", True, f"Bearer {TOKEN}", None),
        ("", True, "", 401),
    ],
)
def test_who_may_change_something(
    tmp_path: Path, peer: str, has_file: bool, authorization: str, status: int | None
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    guard = AdminGuard(lambda: SecretFile(file) if has_file else None)
    headers = {"Host": "localhost", "Authorization": authorization}
    refusal = guard.refuses(make_mocked_request("POST", "/-/reload", headers=headers).clone(remote=peer))
    assert (refusal.status if refusal is not None else None) == status


@pytest.mark.parametrize(
    "header",
    ["Forwarded", "X-Forwarded-For", "Via", "X-Real-IP", "X-Forwarded-Host", "X-Forwarded-Proto", "x-forwarded-server"],
)
def test_what_a_proxy_of_this_machine_passes_on_is_from_elsewhere(header: str) -> None:
    headers = {"Host": "localhost", header: "for=127.0.0.1"}
    request = make_mocked_request("POST", "/-/reload", headers=headers).clone(remote="127.0.0.1")
    refusal = AdminGuard(lambda: None).refuses(request)
    assert refusal is not None
    assert refusal.status == 403


def test_a_token_that_cannot_be_read_lets_nobody_in(tmp_path: Path) -> None:
    guard = AdminGuard(lambda: SecretFile(tmp_path / "gone"))
    request = make_mocked_request("POST", "/-/reload", headers={"Host": "localhost", "Authorization": "Bearer "})
    refusal = guard.refuses(request.clone(remote="10.0.0.7"))
    assert refusal is not None
    assert refusal.status == 500


def address() -> str:
    """Return an address of this machine that is not the loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no network")
        return str(probe.getsockname()[0])


async def test_the_whole_network_may_scrape_but_not_reload_or_revoke(tmp_path: Path, idp: Idp, echo: Echo) -> None:
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    file = sidecars.write(tmp_path, configuration(idp.url, echo.url, admin={"token_file": "token"}))
    sidecar = await Sidecar(file, CollectorRegistry()).start(port=0, admin_host=address(), admin_port=0)
    token, revocation = {"Authorization": f"Bearer {TOKEN}"}, {"subject": "mallory"}
    try:
        async with aiohttp.ClientSession(sidecar.admin_url) as session:
            assert (await session.get("/metrics")).status == 200
            assert (await session.get("/-/ready")).status == 200
            assert (await session.get("/-/revocations")).status == 401
            assert (await session.post("/-/reload")).status == 401
            assert (await session.post("/-/revocations", json=revocation)).status == 401
            assert (await session.post("/-/reload", headers=token)).status == 200
            assert (await session.post("/-/revocations", json=revocation, headers=token)).status == 201
            assert await (await session.get("/-/revocations", headers=token)).json() == [revocation]
            answer = await session.post("/-/revocations", json=revocation, headers=token)
            assert await answer.text() == "revoked until the next start, as revocations_file is not set\n"
            answer = await session.post("/-/revocations", json={**revocation, "reason": "left"}, headers=token)
            assert answer.status == 400
            assert "reason: Extra inputs are not permitted" in await answer.text()
            assert await (await session.post("/-/revocations", json={}, headers=token)).text() == (
                "not a revocation: it: Value error, a revocation of nothing; give token_id, subject or issued_before "
                "(keys: token_id, subject, issuer, issued_before, until, note)\n"
            )
    finally:
        await sidecar.close()
    assert records(tmp_path) == []


async def test_a_revocation_may_come_in_pieces(sidecar: Sidecar) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'{"subject": '
        await asyncio.sleep(0.05)
        yield b'"mallory"}'

    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(sidecar.admin_url) as session:
        assert (await session.post("/-/revocations", data=pieces(), headers=headers)).status == 201
    assert sidecar.revocations.listed() == [{"subject": "mallory"}]
