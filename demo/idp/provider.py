"""What the provider says: discovery documents, and the answer to a token request as a function of its form."""

import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from demo.idp.clients import ASSERTION_ALGORITHMS, Client, Registry
from demo.idp.errors import OAuthError
from demo.idp.keys import KeyRing

GRANT = "client_credentials"


class Provider:
    """Issues access tokens for one issuer."""

    def __init__(self, issuer: str, registry: Registry, keys: KeyRing) -> None:
        self.issuer = issuer
        self.keys = keys
        self._registry = registry

    def metadata(self) -> dict[str, Any]:
        """Return the metadata of RFC 8414, which is the discovery document of OpenID Connect as well."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "grant_types_supported": [GRANT],
            "response_types_supported": ["none"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGORITHMS),
            "claims_supported": ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "scope", "roles"],
        }

    def token(self, authorization: str | None, form: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """Return the answer of RFC 6749 section 4.4 to the pairs of a form; raises OAuthError."""
        single = _single(form)
        client = self._registry.authenticate(authorization, single, (f"{self.issuer}/token", self.issuer))
        if single["grant_type"] != GRANT:
            raise OAuthError("unsupported_grant_type", f"this provider knows {GRANT} only")
        scope = _scope(client, single.get("scope"))
        audience = _audience(client, [value for name, value in form if name == "resource" and value])
        return {
            "access_token": self.keys.sign(self._claims(client, scope, audience)),
            "token_type": "Bearer",
            "expires_in": client.lifetime_seconds,
            "scope": scope,
        }

    def _claims(self, client: Client, scope: str, audience: list[str]) -> dict[str, Any]:
        now = int(time.time())
        return {
            "iss": self.issuer,
            "sub": client.client_id,
            "aud": audience[0] if len(audience) == 1 else audience,
            "client_id": client.client_id,
            "iat": now,
            "nbf": now,
            "exp": now + client.lifetime_seconds,
            "jti": secrets.token_urlsafe(16),
            "scope": scope,
            "roles": list(client.roles),
        }


def _single(form: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the parameters that may stand only once; `resource` may be repeated (RFC 8707)."""
    names = [name for name, _ in form if name != "resource"]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise OAuthError("invalid_request", f"repeated: {', '.join(repeated)}")
    # A parameter without a value counts as left out (RFC 6749 section 3.2).
    single = {name: value for name, value in form if value and name != "resource"}
    if "grant_type" not in single:
        raise OAuthError("invalid_request", "grant_type is missing")
    return single


def _scope(client: Client, asked: str | None) -> str:
    if asked is None:
        return " ".join(client.scopes)
    unknown = [scope for scope in asked.split() if scope not in client.scopes]
    if unknown:
        raise OAuthError("invalid_scope", "a scope that this client may not have")
    return " ".join(dict.fromkeys(asked.split()))


def _audience(client: Client, asked: Iterable[str]) -> list[str]:
    audience = list(dict.fromkeys(_canonical(resource) for resource in asked)) or [client.resources[0]]
    if not set(audience) <= {_canonical(resource) for resource in client.resources}:
        raise OAuthError("invalid_target", "a resource that this client may not ask tokens for")
    return audience


def _canonical(resource: str) -> str:
    """Return a resource with scheme and host in lower case and without the slash of an empty path."""
    parts = urlsplit(resource)
    if not parts.scheme or not parts.netloc or "#" in resource:
        raise OAuthError("invalid_target", "a resource is an absolute URI without fragment")
    path = "" if parts.path == "/" else parts.path
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}{path}{query}"
