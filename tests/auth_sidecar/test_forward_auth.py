"""Forward-auth: the configurations of the guide in real proxies, and what clients try on the way."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from auth_sidecar.app import Sidecar
from bench import peers
from contract.ports import free_port
from tests.auth_sidecar.agents import Echo
from tests.auth_sidecar.issuer import mint
from tests.auth_sidecar.sidecars import Start, records, until_listening
from tests.auth_sidecar.test_cases import modern, routes
from tests.tools import proxy

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "forward-auth.md"
FORGED = "203.0.113.9"
URI = {"X-Forwarded-Uri": "/kb/mcp", "X-Forwarded-Method": "POST", "X-Forwarded-Host": "localhost"}


def example(name: str) -> str:
    """Return a configuration of the guide."""
    found = re.search(rf"<!-- tested: {name} -->\n```\w*\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert found
    return found[1]


def addressed(text: str, sidecar: Sidecar, echo: Echo, port: int) -> str:
    """Return the guide's text with the addresses of this test."""
    for old, new in {
        "sidecar:9828": sidecar.forward_url.split("/")[2],
        "sidecar:9819": sidecar.url.split("/")[2],
        "agents:9840": echo.url.split("/")[2],
        **_split("sidecar", 9828, sidecar.forward_url),
        **_split("sidecar", 9819, sidecar.url),
        **_split("agents", 9840, echo.url),
        "{address: 0.0.0.0, port_value: 8080}": f"{{address: 127.0.0.1, port_value: {port}}}",
        "listen 8080": f"listen 127.0.0.1:{port}",
        ":8080": f"http://127.0.0.1:{port}",
    }.items():
        text = text.replace(old, new)
    return text


def _split(host: str, port: int, url: str) -> dict[str, str]:
    """Return how an address is replaced where host and port stand apart."""
    ours, number = url.split("/")[2].split(":")
    pair = "{{address: {}, port_value: {}}}"
    return {pair.format(host, port): pair.format(ours, number)}


def command(name: str, text: str, folder: Path, port: int) -> list[str]:
    """Write the configuration and return what starts the proxy with it."""
    if name == "traefik":
        (folder / "dynamic.yaml").write_text(text)
        files = [f"--providers.file.filename={folder}/dynamic.yaml", "--global.checknewversion=false"]
        return [str(proxy(name)), f"--entrypoints.web.address=127.0.0.1:{port}", *files]
    if name == "envoy":
        (folder / "envoy.yaml").write_text(text)
        quiet = ["--log-level", "error", "--concurrency", "1", "--use-dynamic-base-id"]
        return [str(proxy(name)), "-c", str(folder / "envoy.yaml"), *quiet]
    binary = str(peers.program(name))
    if name == "caddy":
        (folder / "Caddyfile").write_text("{\n admin off\n auto_https off\n}\n" + text)
        return [binary, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("proxy", "client_body", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log stderr; events {{}}\nhttp {{ access_log off;\n{paths}{text}}}"
    )
    return [binary, "-p", str(folder), "-c", str(folder / "nginx.conf")]


@asynccontextmanager
async def running(name: str, sidecar: Sidecar, echo: Echo, folder: Path) -> AsyncIterator[str]:
    """Run a real proxy with the guide's configuration and yield its URL."""
    folder.mkdir()
    port = free_port()
    words = command(name, addressed(example(name), sidecar, echo, port), folder, port)
    environ = {**(peers.environment(name) if name in peers.PACKAGES else os.environ), "HOME": str(folder)}
    process = await asyncio.create_subprocess_exec(*words, env=environ, stderr=asyncio.subprocess.DEVNULL)
    try:
        await until_listening(port, 20)
        await until_configured(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def until_configured(url: str) -> None:
    """Wait until a proxy knows its routes; Traefik listens before it does."""
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        while (await session.get(f"{url}/.well-known/oauth-protected-resource")).status != 200:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("name", ["nginx", "caddy", "traefik", "envoy"])
async def test_the_guides_configuration_protects_a_server(
    name: str, start_sidecar: Start, echo: Echo, tmp_path: Path
) -> None:
    sidecar = await start_sidecar(routes=routes(echo), forward_auth={"port": 0})
    good, forbidden = modern("search_knowledge"), modern("delete_everything")
    bearer = {"Authorization": f"Bearer {mint()}", "X-Auth-Subject": "root", "X-Original-URI": "/other"}
    bearer["X-Forwarded-For"] = FORGED
    async with running(name, sidecar, echo, tmp_path / "proxy") as url, aiohttp.ClientSession() as session:
        passed = await session.post(f"{url}/kb/mcp", json=good[0], headers={**good[1], **bearer})
        denied = await session.post(f"{url}/kb/mcp", json=forbidden[0], headers={**forbidden[1], **bearer})
        unknown = await session.post(f"{url}/kb/mcp", json=good[0], headers=good[1])
        metadata = await session.get(f"{url}/.well-known/oauth-protected-resource")
    assert (passed.status, denied.status, unknown.status, metadata.status) == (200, 403, 401, 200)
    assert "resource_metadata=" in unknown.headers["WWW-Authenticate"]
    (seen,) = echo.seen
    assert seen["path"] == "/mcp"
    assert seen["headers"].getall("X-Auth-Subject") == ["workflow-engine"]
    assert seen["headers"]["X-Auth-Roles"] == "workflow_operator,agent_service"
    assert "Authorization" not in seen["headers"]
    assert [record["reason"] for record in records(tmp_path)] == ["ok", "no_permission", "missing_auth_header"]
    seen_clients = {record["client"] for record in records(tmp_path)}
    # Envoy puts its own address in place of a loopback one.
    assert seen_clients == {"127.0.0.1"} or (name == "envoy" and FORGED not in seen_clients)


async def ask(sidecar: Sidecar, headers: dict[str, str], *, path: str = "", method: str = "GET") -> int:
    """Ask the forward-auth endpoint and return its status."""
    all_headers = {"Authorization": f"Bearer {mint()}", **headers}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, sidecar.forward_url + path, headers=all_headers) as response,
    ):
        return response.status


async def test_envoy_asks_with_the_original_path_behind_the_prefix(start_sidecar: Start, echo: Echo) -> None:
    sidecar = await start_sidecar(routes=routes(echo), forward_auth={"port": 0})
    headers = modern("search_knowledge")[1]
    assert await ask(sidecar, headers, path="/kb/mcp?x=1", method="POST") == 200
    assert await ask(sidecar, {**headers, "X-Forwarded-Uri": "/other"}, path="/kb/mcp", method="POST") == 200
    assert await ask(sidecar, {**headers, **URI}, path="/other/mcp", method="POST") == 403


async def test_contradicting_headers_are_refused(start_sidecar: Start, echo: Echo, tmp_path: Path) -> None:
    sidecar = await start_sidecar(routes=routes(echo), forward_auth={"port": 0})
    headers = {**modern("search_knowledge")[1], **URI}
    assert await ask(sidecar, headers) == 200
    assert await ask(sidecar, {**headers, "X-Original-URI": "/other"}) == 403
    assert await ask(sidecar, {**headers, "X-Original-Method": "GET"}) == 403
    assert [record["reason"] for record in records(tmp_path)] == ["ok", "header_mismatch", "header_mismatch"]


@pytest.mark.parametrize(
    "path", ["/kb%2Fmcp", "/kb/./mcp", "/x/../kb/mcp", "/kb/mcp/", "//kb/mcp", "/kb/mcp%00", "/KB/mcp"]
)
async def test_another_spelling_of_a_path_is_another_path(start_sidecar: Start, echo: Echo, path: str) -> None:
    sidecar = await start_sidecar(routes=routes(echo), forward_auth={"port": 0})
    assert await ask(sidecar, {**modern("search_knowledge")[1], **URI, "X-Forwarded-Uri": path}) == 403


async def test_a_legacy_request_needs_the_permission_for_the_whole_endpoint(start_sidecar: Start, echo: Echo) -> None:
    sidecar = await start_sidecar(routes=routes(echo), forward_auth={"port": 0})
    legacy = {**URI, "MCP-Protocol-Version": "2025-11-25", "Mcp-Method": "tools/call", "Mcp-Name": "search_knowledge"}
    assert await ask(sidecar, legacy) == 403


async def test_headers_count_only_where_the_server_behind_validates_them(start_sidecar: Start) -> None:
    sidecar = await start_sidecar(forward_auth={"port": 0})
    assert await ask(sidecar, {**modern("search_knowledge")[1], **URI}) == 403


async def test_a_base64_name_is_decoded_before_it_is_judged(start_sidecar: Start, echo: Echo, tmp_path: Path) -> None:
    sidecar = await start_sidecar(routes=routes(echo), forward_auth={"port": 0})
    headers = {**modern("x")[1], **URI, "Mcp-Name": "=?base64?ZGVsZXRlX2V2ZXJ5dGhpbmc=?="}
    assert await ask(sidecar, headers) == 403
    assert await ask(sidecar, {**headers, "Mcp-Name": "=?base64?!?="}) == 403
    reasons = [(record["reason"], record.get("name")) for record in records(tmp_path)]
    assert reasons == [("no_permission", "delete_everything"), ("header_mismatch", None)]


async def test_only_listed_proxies_are_answered(start_sidecar: Start, echo: Echo, tmp_path: Path) -> None:
    sidecar = await start_sidecar(routes=routes(echo), forward_auth={"port": 0, "trusted_proxies": ["10.0.0.0/8"]})
    assert await ask(sidecar, {**modern("search_knowledge")[1], **URI}) == 403
    assert [record["reason"] for record in records(tmp_path)] == ["origin_not_allowed"], "as a page not listed"


async def test_a_slow_or_swollen_request_ends_its_connection_only(start_sidecar: Start, echo: Echo) -> None:
    sidecar = await start_sidecar(routes=routes(echo), forward_auth={"port": 0})
    host, port = sidecar.forward_url.split("/")[2].split(":")
    for junk in (b"\x16\x03\x01\x00", b"GET /auth HTTP/1.1\r\nX: " + b"a" * 100_000, b"GET /auth HTTP/9.9\r\n\r\n"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(junk)
        async with asyncio.timeout(5):
            assert (await reader.read()).split(b" ")[1] in (b"400", b"431")
        writer.close()
    assert await ask(sidecar, {**modern("search_knowledge")[1], **URI}) == 200


async def test_pipelined_questions_are_answered_in_their_order(start_sidecar: Start, echo: Echo) -> None:
    sidecar = await start_sidecar(routes=routes(echo), forward_auth={"port": 0})
    host, port = sidecar.forward_url.split("/")[2].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    one = "".join(f"{name}: {value}\r\n" for name, value in {**URI, **modern("search_knowledge")[1]}.items())
    writer.write(f"GET /auth HTTP/1.1\r\nHost: x\r\n{one}Authorization:  Bearer {mint()} \t\r\n\r\n".encode() * 3)
    writer.write(f"GET /auth HTTP/1.1\r\nHost: x\r\n{one}Connection: close\r\n\r\n".encode())
    async with asyncio.timeout(5):
        answers = await reader.read()
    writer.close()
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"200", b"200", b"401"]
