"""The registered clients, and how one proves to be itself: a shared secret or a signed assertion."""

import base64
import binascii
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import jwt

from contract.config import ConfigError, Problem
from demo.idp.errors import OAuthError
from demo.options import read_secrets

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
ASSERTION_MAX_SECONDS = 600
"""Longest life of a client assertion; also how long its id is remembered against replay."""

ELSEWHERE = "https://elsewhere.example"
"""A resource that is not ours; the intruder may ask tokens for it."""

_OPERATOR_SCOPES = ("knowledge:read", "knowledge:write", "validation:execute", "workflow:execute", "workflow:status")


@dataclass(frozen=True)
class Client:
    """A registered client and what its tokens may say."""

    client_id: str
    secret: str
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    resources: tuple[str, ...]
    """Audiences it may ask for; the first one where it asks for none."""
    lifetime_seconds: int = 300
    public_keys: Mapping[str, Any] | None = None
    """JSON Web Key Set for private_key_jwt, if the client has one."""


def registered(secrets: Path, resource: str) -> dict[str, Client]:
    """Return the demo's clients; secrets from `idp_client_<name>`, public keys from `idp_client_<name>.jwks.json`.

    Raises ConfigError for secrets that are missing and key sets that are none.
    """
    names = ("workflow_engine", "exporter", "intruder")
    secret = read_secrets(secrets, [f"idp_client_{name}" for name in names])
    keys = {name: _public_keys(secrets / f"idp_client_{name}.jwks.json") for name in names}
    clients = (
        Client(
            "workflow-engine",
            secret["idp_client_workflow_engine"],
            ("workflow_operator", "agent_service"),
            _OPERATOR_SCOPES,
            (resource,),
            public_keys=keys["workflow_engine"],
        ),
        Client(
            "exporter",
            secret["idp_client_exporter"],
            ("workflow_viewer",),
            ("workflow:status",),
            (resource,),
            public_keys=keys["exporter"],
        ),
        Client("intruder", secret["idp_client_intruder"], (), (), (ELSEWHERE, resource), lifetime_seconds=1),
    )
    return {client.client_id: client for client in clients}


def _public_keys(file: Path) -> dict[str, Any] | None:
    if not file.exists():
        return None
    try:
        found: dict[str, Any] = json.loads(file.read_bytes())
        jwt.PyJWKSet.from_dict(found)
    except (ValueError, TypeError, AttributeError, jwt.PyJWTError) as error:
        raise ConfigError([Problem(str(file), 1, "", f"is not a JSON Web Key Set: {error}", "mend it")]) from error
    return found


class Registry:
    """Finds the client that a token request comes from."""

    def __init__(self, clients: Mapping[str, Client]) -> None:
        self._clients = clients
        self._assertions: dict[str, float] = {}

    def authenticate(self, authorization: str | None, form: Mapping[str, str], audiences: tuple[str, ...]) -> Client:
        """Return the client that proved itself by exactly one method of RFC 6749 section 2.3 or RFC 7523.

        Raises OAuthError `invalid_client`, or `invalid_request` where more than one method was used.
        """
        methods = [authorization is not None, "client_secret" in form, "client_assertion" in form]
        if sum(methods) > 1:
            raise OAuthError("invalid_request", "more than one way of client authentication")
        if authorization is not None:
            return self._by_secret(*_basic(authorization), is_basic=True)
        if "client_assertion" in form:
            return self._by_assertion(form, audiences)
        return self._by_secret(form.get("client_id", ""), form.get("client_secret", ""), is_basic=False)

    def _by_secret(self, client_id: str, secret: str, *, is_basic: bool) -> Client:
        client = self._clients.get(client_id)
        expected = client.secret if client else "-"
        # Compared for unknown clients too: the time taken tells nothing about which ids exist.
        if not hmac.compare_digest(expected.encode(), secret.encode()) or client is None:
            raise OAuthError("invalid_client", "unknown client or wrong secret", is_basic=is_basic)
        return client

    def _by_assertion(self, form: Mapping[str, str], audiences: tuple[str, ...]) -> Client:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise OAuthError("invalid_request", f"client_assertion_type must be {ASSERTION_TYPE}")
        assertion = form["client_assertion"]
        try:
            claimed = jwt.decode(assertion, options={"verify_signature": False})
            client = self._clients[str(claimed.get("sub"))]
            key = _assertion_key(client, assertion)
            claims = jwt.decode(
                assertion,
                key,
                algorithms=[name for name in ASSERTION_ALGORITHMS if name == key.algorithm_name],
                audience=audiences,
                issuer=client.client_id,
                options={"require": ["exp", "iss", "sub", "aud", "jti"]},
            )
        except (jwt.PyJWTError, KeyError, StopIteration) as error:
            raise OAuthError("invalid_client", "the client assertion does not hold") from error
        self._once(f"{client.client_id} {claims['jti']}", float(claims["exp"]))
        if form.get("client_id", client.client_id) != client.client_id:
            raise OAuthError("invalid_client", "client_id differs from the assertion's subject")
        return client

    def _once(self, assertion_id: str, expires: float) -> None:
        """Refuse an assertion that lives too long or was seen before."""
        now = time.time()
        self._assertions = {known: until for known, until in self._assertions.items() if until > now}
        if expires > now + ASSERTION_MAX_SECONDS or assertion_id in self._assertions:
            raise OAuthError("invalid_client", "the client assertion lives too long or was used before")
        self._assertions[assertion_id] = expires


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError(scheme)
        client_id, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (ValueError, binascii.Error) as error:
        raise OAuthError("invalid_client", "the Authorization header is not Basic", is_basic=True) from error
    if not colon:
        raise OAuthError("invalid_client", "the Authorization header holds no secret", is_basic=True)
    return unquote_plus(client_id), unquote_plus(secret)


def _assertion_key(client: Client, assertion: str) -> jwt.PyJWK:
    key_id = jwt.get_unverified_header(assertion).get("kid")
    keys = jwt.PyJWKSet.from_dict(dict(client.public_keys or {"keys": []})).keys
    return next(key for key in keys if key_id in (None, key.key_id))
