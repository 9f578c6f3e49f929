"""One table of cases for every adapter: what is sent, and what must come of it."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import serialization

from tests.auth_sidecar.issuer import RESOURCE, claims, ec_key, jwk, mint, rsa_key

NOW = int(time.time())


class Case(NamedTuple):
    """A request: its Authorization header, its tool, and the expected status and reason."""

    name: str
    authorization: Callable[[], str | None]
    status: int
    reason: str
    tool: str = "search_knowledge"


def bearer(**changed: Any) -> Callable[[], str]:
    """Return a maker of an Authorization header with a token that is changed like this."""
    return lambda: f"Bearer {mint(**changed)}"


def _b64(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def unsigned() -> str:
    """Return a token that says that it needs no signature."""
    head = _b64(json.dumps({"alg": "none", "typ": "at+jwt"}).encode())
    return f"Bearer {head}.{_b64(json.dumps(claims()).encode())}."


def hs256_with_the_public_key() -> str:
    """Return a token signed symmetrically with what everybody knows."""
    import hashlib
    import hmac

    public = rsa_key("key-1").public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    head = _b64(json.dumps({"alg": "HS256", "kid": "key-1"}).encode())
    message = f"{head}.{_b64(json.dumps(claims()).encode())}"
    return f"Bearer {message}.{_b64(hmac.digest(pem, message.encode(), hashlib.sha256))}"


def raw_payload(payload: bytes) -> Callable[[], str]:
    """Return a maker of a correctly signed token over bytes that no library would write."""

    def make() -> str:
        import jwt

        signed = jwt.api_jws.PyJWS().encode(payload, rsa_key("key-1"), "RS256", {"kid": "key-1"})
        return f"Bearer {signed}"

    return make


def altered_signature() -> str:
    """Return a good token with one letter of its signature changed."""
    head, payload, signature = mint().split(".")
    return f"Bearer {head}.{payload}.{('A' if signature[9] != 'A' else 'B').join((signature[:9], signature[10:]))}"


_DUPLICATE = json.dumps(claims())[:-1].encode() + b', "aud": "https://elsewhere.test"}'

CASES = [
    Case("a good token and a permitted tool", bearer(), 200, "ok"),
    Case("scheme in lower case", lambda: f"bearer {mint()}", 200, "ok"),
    Case("an inherited permission", bearer(roles=["workflow_manager"]), 200, "ok", "create_plan"),
    Case("the administrator", bearer(roles=["system_admin"]), 200, "ok", "delete_everything"),
    Case("a role without that permission", bearer(roles=["workflow_viewer"]), 403, "no_permission"),
    Case("no role", bearer(roles=[]), 403, "no_permission"),
    Case("roles of another type", bearer(roles={"system_admin": True}), 403, "no_permission"),
    Case("a role nobody knows", bearer(roles=["root"]), 403, "no_permission"),
    Case("a tool that is not mapped", bearer(roles=["system_admin"]), 403, "unmapped_operation", "unheard_of"),
    Case("no header", lambda: None, 401, "missing_auth_header"),
    Case("another scheme", lambda: "Basic dXNlcjpwYXNz", 401, "malformed_header"),
    Case("a scheme without token", lambda: "Bearer", 401, "malformed_header"),
    Case("two tokens", lambda: f"Bearer {mint()} {mint()}", 401, "malformed_header"),
    Case("no token at all", lambda: "Bearer xyz", 401, "invalid_token"),
    Case("broken base64", lambda: f"Bearer {mint()}=", 401, "invalid_token"),
    Case("oversized", lambda: "Bearer " + "a" * 20000 + ".b.c", 401, "invalid_token"),
    Case("algorithm none", unsigned, 401, "algorithm_not_allowed"),
    Case("HS256 with the public key", hs256_with_the_public_key, 401, "algorithm_not_allowed"),
    Case("an algorithm not listed", bearer(algorithm="RS512"), 401, "algorithm_not_allowed"),
    Case("an elliptic key", bearer(key=ec_key("e"), algorithm="ES256"), 401, "algorithm_not_allowed"),
    Case("an unknown crit header", bearer(headers={"crit": ["exp"]}), 401, "invalid_token"),
    Case("jku", bearer(headers={"jku": "http://evil.test/jwks"}), 401, "invalid_token"),
    Case("x5u", bearer(headers={"x5u": "http://evil.test/cert"}), 401, "invalid_token"),
    Case("jwk", bearer(key=rsa_key("evil"), headers={"jwk": jwk(rsa_key("evil"), "key-1")}), 401, "invalid_token"),
    Case("an identity token's type", bearer(headers={"typ": "logout+jwt"}), 401, "invalid_token"),
    Case("key id with a path", bearer(key_id="../../etc/passwd"), 401, "unknown_key"),
    Case("key id with SQL", bearer(key_id="' OR 1=1 --"), 401, "unknown_key"),
    Case("same key id, another key", bearer(key=rsa_key("evil")), 401, "invalid_signature"),
    Case("altered signature", altered_signature, 401, "invalid_signature"),
    Case("expired", bearer(exp=NOW - 600, iat=NOW - 1200, nbf=NOW - 1200), 401, "expired"),
    Case("not yet valid", bearer(nbf=NOW + 600), 401, "not_yet_valid"),
    Case("issued in the future", bearer(iat=NOW + 600), 401, "not_yet_valid"),
    Case("no exp", bearer(exp=None), 401, "missing_claim"),
    Case("no aud", bearer(aud=None), 401, "missing_claim"),
    Case("no sub", bearer(sub=None), 401, "missing_claim"),
    Case("no iss", bearer(iss=None), 401, "missing_claim"),
    Case("exp as text", raw_payload(json.dumps(claims(exp="never")).encode()), 401, "invalid_token"),
    Case("exp as infinity", raw_payload(json.dumps(claims(exp=float("inf"))).encode()), 401, "invalid_token"),
    Case("exp as true", raw_payload(json.dumps(claims(exp=True)).encode()), 401, "invalid_token"),
    Case("wrong audience", bearer(aud="https://elsewhere.test"), 401, "wrong_audience"),
    Case("wrong audiences", bearer(aud=["https://a.test", "https://b.test"]), 401, "wrong_audience"),
    Case("a prefix of the audience", bearer(aud=RESOURCE + ".evil.test"), 401, "wrong_audience"),
    Case("the audience in two lines", bearer(aud="http://local\thost:98\n19"), 401, "wrong_audience"),
    Case("the audience after a blank", bearer(aud=f" {RESOURCE}"), 401, "wrong_audience"),
    Case("the audience with slashes and a fragment", bearer(aud=f"{RESOURCE}///#x"), 401, "wrong_audience"),
    Case("audience in a list", bearer(aud=["https://a.test", RESOURCE]), 200, "ok"),
    Case("audience with a slash", bearer(aud="HTTP://LOCALHOST:9819/"), 200, "ok"),
    Case("wrong issuer", bearer(iss="https://evil.test"), 401, "wrong_issuer"),
    Case("issuer with a slash", bearer(iss="http://idp.test/"), 401, "wrong_issuer"),
    Case("issuer as list", raw_payload(json.dumps(claims(iss=["http://idp.test"])).encode()), 401, "wrong_issuer"),
    Case("duplicate claims", raw_payload(_DUPLICATE), 401, "invalid_token"),
    Case("a payload that is a list", raw_payload(b"[]"), 401, "invalid_token"),
    Case("a payload that is no JSON", raw_payload(b"exp=1"), 401, "invalid_token"),
    Case("a payload nested without end", raw_payload(b"[" * 5000), 401, "invalid_token"),
]
