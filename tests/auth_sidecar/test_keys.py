"""Keys under fire: issuer down at start and later, rotation under load, floods of unknown ids, documents of no use."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from auth_sidecar.key_source import KeySource, from_file
from auth_sidecar.keys import parse_jwks
from auth_sidecar.tokens import IssuerRules, Refusal, TokenVerifier
from contract.instruments import Instruments
from contract.vocabulary import AuthReason
from tests.auth_sidecar import sidecars
from tests.auth_sidecar.issuer import ISSUER, RESOURCE, Idp, ec_key, jwk, jwks, mint, rsa_key
from tests.auth_sidecar.sidecars import Start, call, post, samples


async def test_keys_are_rotated_under_load_and_no_valid_request_is_refused(start_sidecar: Start, idp: Idp) -> None:
    sidecar = await start_sidecar()
    statuses: list[int] = []
    old = [mint(jti=f"old-{n}") for n in range(20)]

    async def load(tokens: list[str]) -> None:
        for token in tokens:
            statuses.append((await post(sidecar, token, call("search_knowledge")))[0])

    running = [asyncio.create_task(load(old)) for _ in range(4)]
    await asyncio.sleep(0)
    idp.document = jwks(**{"key-1": rsa_key("key-1"), "key-2": rsa_key("key-2")})
    fresh = [mint(key=rsa_key("key-2"), key_id="key-2", jti=f"new-{n}") for n in range(20)]
    running += [asyncio.create_task(load(fresh)) for _ in range(4)]
    await asyncio.gather(*running)
    assert set(statuses) == {200}
    assert idp.fetches == 2


async def test_the_same_id_with_another_key_is_taken_over(start_sidecar: Start, idp: Idp) -> None:
    sidecar = await start_sidecar()
    old, new = mint(), mint(key=rsa_key("key-2"))
    assert (await post(sidecar, old, call("search_knowledge")))[0] == 200
    idp.document = jwks(**{"key-1": rsa_key("key-2")})
    assert (await post(sidecar, new, call("search_knowledge")))[0] == 200
    assert (await post(sidecar, old, call("search_knowledge")))[0] == 401


async def test_a_flood_of_unknown_key_ids_causes_one_fetch(start_sidecar: Start, idp: Idp) -> None:
    sidecar = await start_sidecar()
    tokens = [mint(key_id=f"random-{n}") for n in range(50)]
    answers = await asyncio.gather(*(post(sidecar, token, call("x")) for token in tokens))
    assert {answer[0] for answer in answers} == {401}
    assert idp.fetches == 2
    name = "mcp_auth_jwks_refreshes_total"
    assert samples(sidecar.registry, name, issuer="demo", result="success") == 2


async def test_last_good_keys_stay_in_force_while_the_issuer_is_down(start_sidecar: Start, idp: Idp) -> None:
    sidecar = await start_sidecar()
    idp.status = 500
    assert not await sidecar.sources["demo"].refresh()
    assert (await post(sidecar, mint(), call("search_knowledge")))[0] == 200
    name = "mcp_auth_jwks_refreshes_total"
    assert samples(sidecar.registry, name, issuer="demo", result="failure") == 1


async def test_an_issuer_that_is_down_at_the_start_is_asked_again(tmp_path: Path, echo: Any) -> None:
    idp = await Idp().start()
    idp.status = 503
    sidecar = await sidecars.start(sidecars.write(tmp_path, sidecars.configuration(idp.url, echo.url)))
    try:
        assert (await post(sidecar, mint(), call("search_knowledge")))[0] == 503
        idp.status = 200
        assert await sidecar.sources["demo"].refresh()
        assert (await post(sidecar, mint(), call("search_knowledge")))[0] == 200
    finally:
        await sidecar.close()
        await idp.stop()


async def test_keys_that_have_grown_too_old_are_none(tmp_path: Path) -> None:
    clock = [1000.0]
    file = tmp_path / "jwks.json"
    file.write_bytes(jwks(**{"key-1": rsa_key("key-1")}))
    source = KeySource(
        "demo", from_file(file), Instruments(CollectorRegistry(), "sidecar"),
        ttl_seconds=60, max_stale_seconds=600, clock=lambda: clock[0],
    )  # fmt: skip
    told: list[bool] = []
    source.on_change(lambda: told.append(source.current() is not None))
    assert source.current() is None
    assert await source.refresh()
    file.unlink()
    clock[0] += 600
    assert not await source.refresh()
    assert source.current() is not None
    clock[0] += 61
    assert source.current() is None
    assert not await source.refresh()
    assert told == [True, False], "so that nobody is let in by what was remembered"


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_clock_ten_minutes_off_refuses_instead_of_guessing(minutes: int) -> None:
    keys = parse_jwks(jwks(**{"key-1": rsa_key("key-1")}))
    rules = IssuerRules("demo", ISSUER, frozenset({RESOURCE}), lambda: keys)
    now = int(time.time())
    verifier = TokenVerifier({ISSUER: rules}, lambda: now + minutes * 60)
    found = verifier.verify(mint(iat=now, nbf=now, exp=now + 300))
    reason = AuthReason.NOT_YET_VALID if minutes < 0 else AuthReason.EXPIRED
    assert found == Refusal(reason, "demo")


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": []}',
        b'{"keys": [1, null, {}]}',
        b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}]}',
        b'{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}',
        b'{"keys": [], "keys": []}',
        json.dumps({"keys": [jwk(rsa_key("key-1"), "k", use="enc")]}).encode(),
        json.dumps({"keys": [jwk(rsa_key("small", 1024), "k")]}).encode(),
    ],
)
def test_a_document_without_usable_key_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_jwks(document)


def test_a_key_serves_only_its_algorithm() -> None:
    keys = parse_jwks(json.dumps({"keys": [jwk(rsa_key("a"), "a", alg="RS256"), jwk(ec_key("b"), "b")]}))
    (a,), (b,) = keys.candidates("a"), keys.candidates("b")
    assert [name in a.algorithms for name in ("RS256", "RS512", "PS256", "ES256", "HS256")] == [True, *[False] * 4]
    assert [name in b.algorithms for name in ("ES256", "ES384", "EdDSA", "RS256", "none")] == [True, *[False] * 4]
    assert keys.candidates(None) == ()


def test_a_token_without_key_id_is_checked_with_the_only_key() -> None:
    keys = parse_jwks(jwks(**{"key-1": rsa_key("key-1")}))
    rules = IssuerRules("demo", ISSUER, frozenset({RESOURCE}), lambda: keys)
    assert not isinstance(TokenVerifier({ISSUER: rules}, time.time).verify(mint(key_id=None)), Refusal)


async def test_keys_are_not_fetched_over_a_redirect(start_sidecar: Start, idp: Idp) -> None:
    sidecar = await start_sidecar()
    idp.status = 302
    assert not await sidecar.sources["demo"].refresh()


async def test_a_reload_while_the_issuer_is_down_keeps_its_keys(start_sidecar: Start, idp: Idp) -> None:
    sidecar = await start_sidecar()
    idp.status = 500
    assert await sidecar.reloader.reload() == ()
    assert (await post(sidecar, mint(), call("search_knowledge")))[0] == 200
    assert idp.fetches == 1
