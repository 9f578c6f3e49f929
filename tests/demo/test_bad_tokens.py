"""The intruder against a door that only listens: every kind of bad token arrives, and goes on until it is stopped."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import web

from contract.web import Server, serve
from demo.faults import bad_tokens
from demo.faults.bad_tokens import INTERVAL_SECONDS, Intruder
from demo.idp.app import public_app
from demo.idp.clients import ELSEWHERE, Registry, registered
from demo.idp.keys import KeyRing
from demo.idp.provider import Provider
from tests.demo.conftest import until

RESOURCE = "http://localhost:9819"


class Door:
    """Answers 401 to everybody and remembers what was shown."""

    def __init__(self) -> None:
        self.shown: list[str | None] = []
        self.requests: list[dict[str, Any]] = []

    def app(self) -> web.Application:
        async def knock(request: web.Request) -> web.Response:
            self.shown.append(request.headers.get("Authorization"))
            self.requests.append({"headers": dict(request.headers), "body": await request.json()})
            return web.Response(status=401)

        app = web.Application()
        app.router.add_post("/orchestrator-1/mcp", knock)
        return app


@pytest.fixture
async def door() -> AsyncIterator[tuple[Door, Server]]:
    door = Door()
    server = await serve(door.app())
    yield door, server
    await server.close()


@pytest.fixture
async def idp(secrets: Path) -> AsyncIterator[Server]:
    provider = Provider("", Registry(registered(secrets, RESOURCE)), KeyRing())
    server = await serve(public_app(provider))
    provider.issuer = server.url
    yield server
    await server.close()


def intruder(door: Server, idp: str, interval: float = 0.005) -> Intruder:
    return Intruder(f"{door.url}/orchestrator-1/mcp", f"{idp}/token", "intruder-secret", RESOURCE, interval)


def kind(shown: str | None) -> str:
    """Say what is wrong with a header, as far as can be seen without the issuer's keys."""
    if shown is None:
        return "missing"
    token = shown.removeprefix("Bearer ")
    if token.count(".") != 2:
        return "malformed"
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
    if header["alg"] == "none":
        return "unsigned"
    if claims["aud"] == ELSEWHERE:
        return "misdirected"
    return "expired" if "kid" in header else "forged"


def test_more_than_ten_a_minute() -> None:
    assert 60 / INTERVAL_SECONDS > 2 * 10


async def test_every_kind_of_bad_token_arrives(
    door: tuple[Door, Server], idp: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bad_tokens, "LEEWAY_SECONDS", 0.0)
    knocking = intruder(door[1], idp.url)
    await knocking.start()
    wanted = {"missing", "malformed", "unsigned", "misdirected", "expired", "forged"}
    await until(lambda: {kind(shown) for shown in door[0].shown} == wanted)
    await knocking.stop()
    assert set(knocking.report()["answers"]) == {"401"}


async def test_a_token_is_used_as_expired_only_when_it_is(door: tuple[Door, Server], idp: Server) -> None:
    knocking = intruder(door[1], idp.url)
    await knocking.start()
    await until(lambda: len(door[0].shown) > 20)
    await knocking.stop()
    assert "expired" not in {kind(shown) for shown in door[0].shown}, "within the leeway it might be taken"


async def test_a_misdirected_token_is_genuine(
    door: tuple[Door, Server], idp: Server, session: aiohttp.ClientSession
) -> None:
    knocking = intruder(door[1], idp.url)
    await knocking.start()
    await until(lambda: "misdirected" in {kind(shown) for shown in door[0].shown})
    await knocking.stop()
    token = next(str(shown) for shown in door[0].shown if kind(shown) == "misdirected").removeprefix("Bearer ")
    async with session.get(f"{idp.url}/jwks") as response:
        key = jwt.PyJWKSet.from_dict(await response.json()).keys[0]
    claims = jwt.decode(token, key, algorithms=["RS256"], audience=ELSEWHERE, options={"verify_exp": False})
    assert claims["sub"] == "intruder"


async def test_what_is_sent_is_a_well_formed_call(door: tuple[Door, Server], idp: Server) -> None:
    knocking = intruder(door[1], idp.url)
    await knocking.start()
    await until(lambda: len(door[0].requests) > 0)
    await knocking.stop()
    request = door[0].requests[0]
    assert request["headers"]["Mcp-Method"] == request["body"]["method"] == "tools/call"
    assert request["headers"]["Mcp-Name"] == request["body"]["params"]["name"]


async def test_without_an_issuer_the_other_kinds_go_on(door: tuple[Door, Server]) -> None:
    knocking = intruder(door[1], "http://127.0.0.1:9")
    await knocking.start()
    await until(lambda: {"missing", "malformed", "unsigned", "forged"} <= {kind(shown) for shown in door[0].shown})
    await until(lambda: knocking.answers["unreachable"] > 0)
    await knocking.stop()


async def test_after_stop_nothing_more_is_sent_and_a_start_begins_anew(door: tuple[Door, Server], idp: Server) -> None:
    knocking = intruder(door[1], idp.url)
    await knocking.stop()
    await knocking.start()
    await until(lambda: knocking.answers.total() > 3)
    await knocking.stop()
    await knocking.stop()
    sent = knocking.answers.total()
    assert len(door[0].shown) <= sent + 1
    await knocking.start()
    assert knocking.report()["sent"] < sent
    await knocking.stop()
