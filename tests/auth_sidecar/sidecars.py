"""Sidecars for tests: a configuration in a folder of its own, both ports free, everything real."""

import asyncio
import io
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import yaml
from prometheus_client import CollectorRegistry

from auth_sidecar.app import Sidecar
from contract.tracing import Tracer
from tests.auth_sidecar.issuer import ISSUER, RESOURCE
from tests.checkout import shipped

Start = Callable[..., Awaitable[Sidecar]]
KEY = "0123456789abcdef0123456789abcdef0123456789a"
ROLES = shipped("auth_sidecar/roles.yaml")


def configuration(idp_url: str, upstream: str, **changed: Any) -> dict[str, Any]:
    """Return a configuration with one issuer and one agent; keyword arguments replace whole sections."""
    return {
        "resource": {"url": RESOURCE, "hosts": ["localhost", "127.0.0.1"], "origins": ["http://localhost:*"]},
        "issuers": [{"name": "demo", "issuer": ISSUER, "jwks_url": f"{idp_url}/jwks", "allow_http": True}],
        "routes": [{"path": "/kb/mcp", "agent": "kb-1", "agent_type": "knowledge_base", "upstream": upstream}],
        "operations": {
            "tools": {
                "search_knowledge": "knowledge:read",
                "create_plan": "workflow:execute",
                "broken": "knowledge:read",
                "delete_everything": "workflow:delete",
            }
        },
        "audit": {"folder": "audit", "key_file": "audit_key"},
        "drain": "1s",
        **changed,
    }


def write(folder: Path, config: dict[str, Any]) -> Path:
    """Write a configuration, its roles, its key and its revocations into a folder and return the file."""
    key = folder / "audit_key"
    if not key.exists():
        key.write_text(KEY)
        key.chmod(0o600)
    if not (folder / "roles.yaml").exists():
        shutil.copy(ROLES, folder / "roles.yaml")
    revocations = folder / config.get("revocations_file", "")
    if not revocations.exists():
        revocations.write_text("[]")
    file = folder / "sidecar.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


async def start(file: Path, tracer: Tracer | None = None) -> Sidecar:
    """Start a sidecar; the traffic port is free unless the file names one."""
    named = yaml.safe_load(file.read_text()).get("traffic", {}).get("port", 0)
    return await Sidecar(file, CollectorRegistry(), tracer=tracer).start(port=named, admin_port=0)


def samples(registry: CollectorRegistry, name: str, **labels: str) -> float:
    """Return the sum of all samples of that name that carry the labels."""
    return sum(
        sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def records(folder: Path) -> list[dict[str, Any]]:
    """Return the audit records of a folder that tell of decisions, in order."""
    lines = [line for path in sorted((folder / "audit").glob("*.jsonl")) for line in path.read_text().split("\n")[:-1]]
    return [record for record in map(json.loads, lines) if record["event"] != "admin"]


def call(tool: str, **changed: Any) -> dict[str, Any]:
    """Return a legacy tools/call."""
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}}, **changed}


async def post(
    sidecar: Sidecar, token: str | None, message: Any, path: str = "/kb/mcp", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Send a message and return status, headers and body."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    all_headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        **({"Authorization": f"Bearer {token}"} if token is not None else {}),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.post(sidecar.url + path, data=io.BytesIO(body), headers=all_headers) as response,
    ):
        return response.status, dict(response.headers), await response.read()


@asynccontextmanager
async def half_sent(sidecar: Sidecar, token: str, tool: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """Send a call but for the end of its body; yields what sends the rest and returns the status."""
    body, parts = json.dumps(call(tool)).encode(), urlsplit(sidecar.url)
    head = f"POST /kb/mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}"
    arrived, authenticate = asyncio.Event(), sidecar.gate.authenticate

    def noticed(*arguments: Any) -> Any:
        arrived.set()
        return authenticate(*arguments)

    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)

    async def finish() -> int:
        writer.write(body[5:])
        return int((await reader.readline()).split()[1])

    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(sidecar.gate, "authenticate", noticed)
            writer.write(head.encode() + b"\r\n\r\n" + body[:5])
            async with asyncio.timeout(5):
                await arrived.wait()
        yield finish
    finally:
        writer.close()


async def until_listening(port: int, seconds: float) -> None:
    """Wait until a program accepts connections on a port of this machine; raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except OSError:
                await asyncio.sleep(0.05)
    writer.close()
