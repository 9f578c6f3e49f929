"""The program: what --check says, how it starts, reloads and ends; the shipped configuration is one of the inputs."""

import asyncio
import contextlib
import json
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import aiohttp.web
import pytest

from auth_sidecar.__main__ import main
from auth_sidecar.audit_chain import Sealer
from auth_sidecar.audit_verify import verify
from contract import yaml_source
from tests.auth_sidecar import sidecars
from tests.auth_sidecar.agents import Echo
from tests.auth_sidecar.issuer import Idp, mint
from tests.auth_sidecar.sidecars import KEY, call, configuration, write
from tests.checkout import ROOT, shipped

SIDECAR = "auth_sidecar/sidecar.yaml"


def test_the_shipped_configuration_is_fine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("sidecar.yaml", "roles.yaml"):
        shutil.copy(shipped(f"auth_sidecar/{name}"), tmp_path)
    (tmp_path / "revocations.json").write_text("[]")
    (tmp_path / "secrets").mkdir()
    for name in ("audit_key", "sidecar_admin_token"):
        (tmp_path / "secrets" / name).write_text(KEY)
        (tmp_path / "secrets" / name).chmod(0o600)
    assert main(["--config", str(tmp_path / "sidecar.yaml"), "--check"]) == 0
    assert capsys.readouterr().out.endswith("fine; 12 routes, 6 roles\n")


def test_what_the_user_s_file_still_has_of_the_demo_is_as_the_demo_ships_it() -> None:
    own, ours = (yaml_source.load(f.read_text()) for f in (ROOT / SIDECAR, shipped(SIDECAR)))
    of_the_demo = [route for route in own.get("routes", []) if route.get("upstream", "").startswith("http://agents:")]
    known = {route["path"]: route["upstream"] for route in ours["routes"]}
    assert {route["path"]: route["upstream"] for route in of_the_demo}.items() <= known.items()


@pytest.mark.parametrize("arguments", [["--check"], []], ids=str)
def test_a_variable_of_tracing_that_asks_for_what_is_not_there_is_refused(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, configuration("http://idp.test", "http://agents.test/mcp"))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    with pytest.raises(SystemExit) as ended:
        main(["--config", str(file), *arguments])
    assert ended.value.code == 2
    assert "OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' is not supported" in capsys.readouterr().err


def test_every_mistake_is_told_at_once_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configuration("http://idp.test", "http://agents.test/mcp")
    config["routes"] *= 2
    config["drain"] = "10"
    config["issuers"][0] |= {"allow_http": False, "algorithms": ["HS256"], "colour": "red"}
    config["audit"]["key_file"] = "nowhere"
    with pytest.raises(SystemExit) as ended:
        main(["--config", str(write(tmp_path, config)), "--check"])
    told = capsys.readouterr().err
    assert ended.value.code == 2
    for part in ("drain", "issuers.0.algorithms.0", "colour: unknown key", "audit.key_file: secret file nowhere"):
        assert part in told
    assert "Traceback" not in told
    config = configuration("http://idp.test", "http://agents.test/mcp")
    config["routes"] *= 2
    config["issuers"][0]["allow_http"] = False
    with pytest.raises(SystemExit):
        main(["--config", str(write(tmp_path, config)), "--check"])
    told = capsys.readouterr().err
    assert "routes.1.path: '/kb/mcp' stands here twice" in told
    assert "issuers.0.jwks_url: keys would be fetched without TLS (use https, or set allow_http: true)" in told


DIGEST = f"sha256:{'0' * 64}"
ISSUER = configuration("http://idp.test", "http://agents.test/mcp")["issuers"][0]
ROUTE = configuration("http://idp.test", "http://agents.test/mcp")["routes"][0]
TLS = {"cert_file": "cert.pem", "key_file": "secrets/tls.key"}
QUESTIONABLE: dict[str, tuple[dict[str, Any], str]] = {
    "certificates that nothing verifies": (
        {"tls": {**TLS, "require_client_cert": True}},
        "tls.require_client_cert: no authority is known whose client certificates count (name the",
    ),
    "identities of such certificates": (
        {"tls": {**TLS, "identities": [{"spiffe_id": "spiffe://a/b"}]}},
        "tls.identities: no authority is known",
    ),
    "an issuer that keys would be taken for": (
        {"issuers": [{**ISSUER, "name": "api_keys"}]},
        "issuers.0.name: 'api_keys' is how identities without an issuer are named (take another name)",
    ),
    "one key for two accounts": (
        {"api_keys": [{"name": "a", "digest": DIGEST}, {"name": "b", "digest": DIGEST}]},
        "api_keys.1.digest: another entry has the same key",
    ),
    "a role that is not there": (
        {"api_keys": [{"name": "a", "digest": DIGEST, "roles": ["admin"]}]},
        "api_keys.0.roles: no role 'admin' in the role file (add it there, or take it out)",
    ),
    "a default role that is not there": (
        {"issuers": [{**ISSUER, "claims": {"default_roles": ["viewer"]}}]},
        "issuers.0.claims.default_roles: no role 'viewer' in the role file",
    ),
    "a route where the metadata are": (
        {"routes": [{**ROUTE, "path": "/.well-known/oauth-protected-resource/kb"}]},
        "routes.0.path: the resource metadata is answered there (take another path)",
    ),
    "a server behind with a query": (
        {"routes": [{**ROUTE, "upstream": "http://agents.test/mcp?tenant=1"}]},
        "routes.0.upstream: has a query or a fragment",
    ),
}


@pytest.mark.parametrize(("changes", "told"), QUESTIONABLE.values(), ids=QUESTIONABLE)
def test_what_would_not_protect_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], told: str
) -> None:
    file = write(tmp_path, {**configuration("http://idp.test", "http://agents.test/mcp"), **changes})
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "tls.key").write_text("key")
    (tmp_path / "secrets" / "tls.key").chmod(0o600)
    with pytest.raises(SystemExit) as ended:
        main(["--config", str(file), "--check"])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


@contextlib.asynccontextmanager
async def program(file: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str, str]]:
    """Run the program on free ports and yield it with its two URLs."""
    words = [sys.executable, "-m", "auth_sidecar", "--config", str(file), "--port", "0", "--admin-port", "0"]
    process = await asyncio.create_subprocess_exec(*words, stderr=asyncio.subprocess.PIPE)
    assert process.stderr
    try:
        async with asyncio.timeout(30):
            while True:
                line = json.loads(await process.stderr.readline())
                if line["message"] == "listening":
                    break
        yield process, line["url"], line["admin_url"]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_the_program_serves_reloads_drains_and_ends_with_0(tmp_path: Path, idp: Idp, echo: Echo) -> None:
    release = asyncio.Event()
    answer = echo.answer

    async def slow(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        await release.wait()
        return await answer(request)

    echo.answer = slow
    file = sidecars.write(tmp_path, configuration(idp.url, echo.url, drain="10s"))
    headers = {"Authorization": f"Bearer {mint()}"}
    async with program(file) as (process, url, admin_url), aiohttp.ClientSession() as session:
        assert (await session.get(f"{admin_url}/-/ready")).status == 200
        process.send_signal(signal.SIGHUP)
        open_request = asyncio.create_task(
            session.post(f"{url}/kb/mcp", json=call("search_knowledge"), headers=headers)
        )
        async with asyncio.timeout(10):
            while not echo.seen:
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        release.set()
        response = await open_request
        assert response.status == 200
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    walk = verify(tmp_path / "audit", [Sealer(KEY.encode())])
    assert walk.is_whole
    assert walk.link.length == 3
