"""A real identity provider for tests: real keys, a JWKS over HTTP, and tokens with whatever is wrong about them."""

import json
import time
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from contract.web import Server, serve

RESOURCE = "http://localhost:9819"
ISSUER = "http://idp.test"


@cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return the private key of that name; generated once a test run."""
    del name
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    """Return the private key of that name; generated once a test run."""
    del name
    return ec.generate_private_key(ec.SECP256R1())


def jwk(key: Any, key_id: str, **extra: Any) -> dict[str, Any]:
    """Return the public half as a JWK."""
    algorithm: Any = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    entry: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))
    return {**entry, "kid": key_id, "use": "sig", **extra}


def jwks(**keys: Any) -> bytes:
    """Return a JWKS document of private keys by their ids."""
    return json.dumps({"keys": [jwk(key, key_id) for key_id, key in keys.items()]}).encode()


def claims(**changed: Any) -> dict[str, Any]:
    """Return the claims of a good token; None takes one out."""
    now = int(time.time())
    good = {
        "iss": ISSUER,
        "aud": RESOURCE,
        "sub": "workflow-engine",
        "client_id": "workflow-engine",
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        "jti": "token-1",
        "roles": ["workflow_operator", "agent_service"],
    }
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def mint(
    *, key: Any = None, key_id: str | None = "key-1", algorithm: str = "RS256", headers: Any = None, **changed: Any
) -> str:
    """Return a signed token; without arguments a good one."""
    all_headers = {"typ": "at+jwt", **({"kid": key_id} if key_id is not None else {}), **(headers or {})}
    token: str = jwt.encode(claims(**changed), key or rsa_key("key-1"), algorithm, headers=all_headers)
    return token


class Idp:
    """Serves a JWKS; `document`, `status` and `delay` may be changed while it runs."""

    def __init__(self) -> None:
        self.document = jwks(**{"key-1": rsa_key("key-1")})
        self.status = 200
        self.fetches = 0
        self.server: Server | None = None
        self.issuer = ISSUER
        self.jwks_uri = ""
        """What discovery names in place of its own keys."""

    @property
    def url(self) -> str:
        assert self.server
        return self.server.url

    async def start(self, port: int = 0) -> "Idp":
        app = web.Application()
        app.router.add_get("/jwks", self._jwks)
        app.router.add_get("/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/.well-known/oauth-authorization-server", self._discovery)
        app.router.add_post("/token", self._token)
        self.server = await serve(app, port=port, drain_seconds=0.1)
        return self

    async def stop(self) -> None:
        if self.server:
            await self.server.close()

    async def _jwks(self, _request: web.Request) -> web.Response:
        self.fetches += 1
        return web.Response(status=self.status, body=self.document, content_type="application/json")

    async def _discovery(self, _request: web.Request) -> web.Response:
        document = {
            "issuer": self.issuer,
            "jwks_uri": self.jwks_uri or f"{self.url}/jwks",
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "response_types_supported": ["code"],
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }
        return web.json_response(document)

    async def _token(self, request: web.Request) -> web.Response:
        """Answer a client credentials grant (RFC 6749, section 4.4) for the resource it names (RFC 8707)."""
        form = await request.post()
        assert form["grant_type"] == "client_credentials"
        token = mint(iss=self.issuer, aud=str(form.get("resource", "nothing")).removesuffix("/kb/mcp"))
        return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": 600})
