"""The image's health check, run as Docker runs it."""

import asyncio
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from aiohttp import web

from contract.web import serve
from deploy.health import is_healthy

CHECK = Path(__file__).resolve().parents[2] / "deploy" / "health.py"


def exit_code(port: int, path: str) -> int:
    return subprocess.run([sys.executable, "-I", "-S", CHECK, str(port), path], timeout=30).returncode


@pytest.mark.parametrize(("status", "expected"), [(200, 0), (204, 1), (404, 1), (503, 1)])
async def test_only_200_is_healthy(status: int, expected: int) -> None:

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/-/ready", answer)
    server = await serve(app)
    try:
        assert await asyncio.to_thread(exit_code, server.port, "/-/ready") == expected
    finally:
        await server.close()


def test_closed_port_is_not_healthy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert exit_code(port, "/-/ready") == 1


def test_server_that_never_answers_is_not_healthy_within_the_bound() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found: list[bool] = []
        port = silent.getsockname()[1]
        asking = threading.Thread(target=lambda: found.append(is_healthy(port, "/", timeout_seconds=0.2)))
        asking.start()
        asking.join(timeout=10)
    assert found == [False]
