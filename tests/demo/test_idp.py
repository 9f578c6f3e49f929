"""The identity provider over HTTP: documents, tokens, refusals, rotation."""

import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from contract.config import ConfigError
from contract.web import Server, serve
from demo.idp.app import control_app, public_app
from demo.idp.clients import ASSERTION_TYPE, ELSEWHERE, Registry, registered
from demo.idp.keys import KeyRing
from demo.idp.provider import Provider

RESOURCE = "http://localhost:9819"
ENGINE = ("workflow-engine", "engine secret: +/=%&")
GRANT = {"grant_type": "client_credentials"}


class Idp:
    """A running provider."""

    def __init__(self, server: Server, provider: Provider, session: aiohttp.ClientSession) -> None:
        self.url = server.url
        self.provider = provider
        self.session = session

    async def get(self, path: str) -> Any:
        async with self.session.get(f"{self.url}{path}") as response:
            assert response.status == 200
            return await response.json()

    async def token(self, form: Any, basic: tuple[str, str] | None = None) -> tuple[int, dict[str, Any], Any]:
        headers = {"Authorization": basic_header(*basic)} if basic else {}
        async with self.session.post(f"{self.url}/token", data=form, headers=headers) as response:
            return response.status, await response.json(), response.headers

    async def claims(self, token: str, audience: str = RESOURCE) -> dict[str, Any]:
        keys = jwt.PyJWKSet.from_dict(await self.get("/jwks"))
        key = keys[jwt.get_unverified_header(token)["kid"]]
        return jwt.decode(token, key, algorithms=["RS256"], audience=audience, issuer=self.url)


def basic_header(client_id: str, secret: str) -> str:
    """Return credentials as RFC 6749 section 2.3.1 has them: both form-encoded before Base64."""
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


@pytest.fixture
async def idp(secrets: Path, session: aiohttp.ClientSession) -> AsyncIterator[Idp]:
    provider = Provider("", Registry(registered(secrets, RESOURCE)), KeyRing())
    server = await serve(public_app(provider))
    provider.issuer = server.url
    yield Idp(server, provider, session)
    await server.close()


@pytest.mark.parametrize("document", ["openid-configuration", "oauth-authorization-server"])
async def test_discovery_names_endpoints_that_answer(idp: Idp, document: str) -> None:
    metadata = await idp.get(f"/.well-known/{document}")
    assert metadata["issuer"] == idp.url
    assert metadata["token_endpoint"] == f"{idp.url}/token"
    assert "client_secret_basic" in metadata["token_endpoint_auth_methods_supported"]
    (key,) = (await idp.get(metadata["jwks_uri"].removeprefix(idp.url)))["keys"]
    assert (key["kty"], key["use"], key["alg"]) == ("RSA", "sig", "RS256")
    assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}, "no private part is published"


async def test_a_token_says_who_for_whom_and_until_when(idp: Idp) -> None:
    status, answer, headers = await idp.token(GRANT, ENGINE)
    assert (status, answer["token_type"], answer["expires_in"]) == (200, "Bearer", 300)
    assert headers["Cache-Control"] == "no-store"
    assert jwt.get_unverified_header(answer["access_token"])["typ"] == "at+jwt"
    claims = await idp.claims(answer["access_token"])
    assert (claims["sub"], claims["client_id"], claims["aud"]) == ("workflow-engine", "workflow-engine", RESOURCE)
    assert claims["roles"] == ["workflow_operator", "agent_service"]
    assert claims["exp"] - claims["iat"] == 300
    assert abs(claims["iat"] - time.time()) < 5
    assert claims["scope"] == answer["scope"]


async def test_every_token_has_an_id_of_its_own(idp: Idp) -> None:
    tokens = [(await idp.token(GRANT, ENGINE))[1]["access_token"] for _ in range(2)]
    first, second = [(await idp.claims(token))["jti"] for token in tokens]
    assert first != second


async def test_the_secret_may_come_in_the_form(idp: Idp) -> None:
    status, _, _ = await idp.token({**GRANT, "client_id": ENGINE[0], "client_secret": ENGINE[1]})
    assert status == 200


@pytest.mark.parametrize(
    ("form", "basic", "status", "error"),
    [
        (GRANT, ("workflow-engine", "wrong"), 401, "invalid_client"),
        (GRANT, ("nobody", "wrong"), 401, "invalid_client"),
        (GRANT, None, 401, "invalid_client"),
        ({**GRANT, "client_id": "workflow-engine"}, None, 401, "invalid_client"),
        ({**GRANT, "client_secret": "x"}, ENGINE, 400, "invalid_request"),
        ({}, ENGINE, 400, "invalid_request"),
        ({"grant_type": ""}, ENGINE, 400, "invalid_request"),
        ([("grant_type", "client_credentials")] * 2, ENGINE, 400, "invalid_request"),
        ({"grant_type": "password"}, ENGINE, 400, "unsupported_grant_type"),
        ({**GRANT, "scope": "admin"}, ENGINE, 400, "invalid_scope"),
        ({**GRANT, "resource": ELSEWHERE}, ENGINE, 400, "invalid_target"),
        ({**GRANT, "resource": "not-a-uri"}, ENGINE, 400, "invalid_target"),
        ({**GRANT, "resource": f"{RESOURCE}#part"}, ENGINE, 400, "invalid_target"),
    ],
)
async def test_refusals_are_the_errors_of_oauth(
    idp: Idp, form: Any, basic: tuple[str, str] | None, status: int, error: str
) -> None:
    got, answer, headers = await idp.token(form, basic)
    assert (got, answer["error"]) == (status, error)
    assert answer["error_description"]
    assert headers["Cache-Control"] == "no-store"
    assert ("WWW-Authenticate" in headers) == (status == 401 and basic is not None)


async def test_unreadable_credentials_and_bodies_are_refused(idp: Idp) -> None:
    for authorization in ("Bearer x", "Basic ???", "Basic " + base64.b64encode(b"no colon").decode()):
        headers = {"Authorization": authorization}
        async with idp.session.post(f"{idp.url}/token", data=GRANT, headers=headers) as response:
            assert (response.status, (await response.json())["error"]) == (401, "invalid_client")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for data, headers in ((b"{}", {"Content-Type": "application/json"}), (b"\xff\xfe", form), (b"a=1&" * 60, form)):
        async with idp.session.post(f"{idp.url}/token", data=data, headers=headers) as response:
            assert (response.status, (await response.json())["error"]) == (400, "invalid_request")


async def test_a_scope_may_be_a_part_of_what_is_allowed(idp: Idp) -> None:
    _, answer, _ = await idp.token({**GRANT, "scope": "workflow:status knowledge:read workflow:status"}, ENGINE)
    assert answer["scope"] == "workflow:status knowledge:read"


async def test_a_resource_is_compared_in_its_canonical_form(idp: Idp) -> None:
    _, answer, _ = await idp.token({**GRANT, "resource": "HTTP://LOCALHOST:9819/"}, ENGINE)
    assert (await idp.claims(answer["access_token"]))["aud"] == RESOURCE


async def test_the_intruder_gets_short_tokens_for_elsewhere_and_no_rights(idp: Idp) -> None:
    form = [*GRANT.items(), ("resource", ELSEWHERE), ("resource", RESOURCE)]
    _, answer, _ = await idp.token(form, ("intruder", "intruder-secret"))
    claims = await idp.claims(answer["access_token"], ELSEWHERE)
    assert (claims["aud"], claims["roles"], answer["expires_in"]) == ([ELSEWHERE, RESOURCE], [], 1)


async def test_nobody_signs_in_here(idp: Idp) -> None:
    async with idp.session.get(f"{idp.url}/authorize") as response:
        assert (response.status, (await response.json())["error"]) == (400, "unsupported_response_type")


async def test_rotation_signs_with_a_new_key_and_keeps_the_old_one_published(idp: Idp) -> None:
    _, before, _ = await idp.token(GRANT, ENGINE)
    control = await serve(control_app(idp.provider))
    async with idp.session.post(f"{control.url}/-/rotate") as response:
        fresh = (await response.json())["kid"]
    _, after, _ = await idp.token(GRANT, ENGINE)
    assert jwt.get_unverified_header(after["access_token"])["kid"] == fresh
    for answer in (before, after):
        assert await idp.claims(answer["access_token"])
    idp.provider.keys.rotate()
    assert len((await idp.get("/jwks"))["keys"]) == 2
    with pytest.raises(KeyError):
        await idp.claims(before["access_token"])
    await control.close()


async def test_rotation_is_for_operators_only(idp: Idp) -> None:
    async with idp.session.post(f"{idp.url}/-/rotate") as response:
        assert response.status == 404, "not on the public side"
    control = await serve(control_app(idp.provider))
    async with idp.session.post(f"{control.url}/-/rotate", headers={"Origin": "http://evil.example"}) as response:
        assert response.status == 403
    await control.close()


def test_keys_outlive_a_restart_and_are_for_their_owner_only(tmp_path: Path) -> None:
    first = KeyRing(tmp_path / "state")
    first.rotate()
    again = KeyRing(tmp_path / "state")
    assert again.published() == first.published()
    assert (tmp_path / "state" / "idp_keys.pem").stat().st_mode & 0o777 == 0o600


def test_missing_secrets_are_all_named_with_their_mend(tmp_path: Path) -> None:
    (tmp_path / "idp_client_exporter").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        registered(tmp_path, RESOURCE)
    assert len(caught.value.problems) == 3
    assert all("deploy.prepare" in problem.mend for problem in caught.value.problems)


Sign = Callable[..., str]


@pytest.fixture
async def signed(secrets: Path, session: aiohttp.ClientSession) -> AsyncIterator[tuple[Idp, Sign]]:
    """Yield a provider that knows a public key of the engine, and what signs assertions with the private one."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    file = secrets / "idp_client_workflow_engine.jwks.json"
    file.write_text(json.dumps({"keys": [{**public, "kid": "mine"}]}), encoding="utf-8")
    provider = Provider("", Registry(registered(secrets, RESOURCE)), KeyRing())
    server = await serve(public_app(provider))
    provider.issuer = server.url

    def sign(with_key: Any = key, algorithm: str = "ES256", **changes: Any) -> str:
        claims = {"iss": ENGINE[0], "sub": ENGINE[0], "aud": server.url, "jti": "1", "exp": time.time() + 60}
        claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        return jwt.encode(claims, with_key, algorithm, headers={"kid": "mine"})

    yield Idp(server, provider, session), sign
    await server.close()


def assertion(text: str, **more: str) -> dict[str, str]:
    return {**GRANT, "client_assertion_type": ASSERTION_TYPE, "client_assertion": text, **more}


async def test_a_signed_assertion_takes_the_place_of_the_secret_once(signed: tuple[Idp, Sign]) -> None:
    idp, sign = signed
    status, answer, _ = await idp.token(assertion(sign()))
    assert status == 200
    assert (await idp.claims(answer["access_token"]))["sub"] == ENGINE[0]
    status, answer, _ = await idp.token(assertion(sign()))
    assert (status, answer["error"]) == (401, "invalid_client"), "the same jti again"


@pytest.mark.parametrize(
    "changes",
    [
        {"with_key": ec.generate_private_key(ec.SECP256R1())},
        {"with_key": rsa.generate_private_key(public_exponent=65537, key_size=2048), "algorithm": "RS256"},
        {"with_key": "k" * 32, "algorithm": "HS256"},
        {"aud": "http://other.example"},
        {"iss": "exporter"},
        {"sub": "nobody"},
        {"sub": "exporter", "iss": "exporter"},
        {"jti": None},
        {"exp": None},
        {"exp": 1},
        {"exp": time.time() + 86400},
    ],
)
async def test_an_assertion_that_does_not_hold_is_refused(signed: tuple[Idp, Sign], changes: dict[str, Any]) -> None:
    idp, sign = signed
    status, answer, _ = await idp.token(assertion(sign(**changes)))
    assert (status, answer["error"]) == (401, "invalid_client")


async def test_an_assertion_has_its_type_and_its_client(signed: tuple[Idp, Sign]) -> None:
    idp, sign = signed
    status, answer, _ = await idp.token({**GRANT, "client_assertion": sign()})
    assert (status, answer["error"]) == (400, "invalid_request")
    status, answer, _ = await idp.token(assertion(sign(), client_id="exporter"))
    assert (status, answer["error"]) == (401, "invalid_client")


def test_a_broken_key_set_is_a_problem_with_its_file(secrets: Path) -> None:
    (secrets / "idp_client_exporter.jwks.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"exporter\.jwks\.json"):
        registered(secrets, RESOURCE)
