"""Identities without a token of an issuer: API keys by their hash, and client certificates where TLS ends here."""

import fnmatch
import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from auth_sidecar.principal import Method, Principal, PrincipalKind
from auth_sidecar.tokens import Refusal, Verifier
from contract.vocabulary import AuthReason

KEY_PREFIX = "mlk_"
"""How every API key begins, so that scanners for leaked secrets can know one."""
API_KEYS = "api_keys"
MTLS = "mtls"


@dataclass(frozen=True)
class ApiKey:
    """A service account; `digest` is the SHA-256 of its key, which is random enough to need no slow hash."""

    name: str
    digest: str
    roles: tuple[str, ...]
    kind: PrincipalKind = PrincipalKind.SERVICE
    scopes: frozenset[str] = frozenset()
    expires_at: float = float("inf")

    def principal(self) -> Principal:
        """Return who the key stands for."""
        return Principal(
            self.name, self.kind, API_KEYS, self.roles, self.scopes, self.name, f"{API_KEYS}:{self.name}",
            expires_at=self.expires_at, method=Method.API_KEY,
        )  # fmt: skip


@dataclass(frozen=True)
class CertificateRule:
    """Who a client certificate stands for: the first rule whose glob its SPIFFE id (URI SAN) fulfils."""

    spiffe_id: str
    roles: tuple[str, ...]
    kind: PrincipalKind = PrincipalKind.SERVICE


def new_key(name: str) -> tuple[str, str]:
    """Return a fresh API key and its digest; the key itself is kept nowhere."""
    key = f"{KEY_PREFIX}{name}_{secrets.token_urlsafe(32)}"
    return key, digest_of(key)


def digest_of(key: str) -> str:
    """Return what the configuration holds in place of a key."""
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


class CredentialVerifier:
    """Verifies bearer credentials: API keys here, everything else by the verifier of tokens."""

    def __init__(self, tokens: Verifier, keys: Sequence[ApiKey], clock: Callable[[], float]) -> None:
        self._tokens = tokens
        self._keys = {key.digest: key for key in keys}
        self._clock = clock

    def verify(self, credential: str) -> Principal | Refusal:
        """Return who the credential stands for, or why it does not count."""
        if not credential.startswith(KEY_PREFIX):
            return self._tokens.verify(credential)
        # How long a look-up takes tells nothing about the key: nobody can choose a digest.
        key = self._keys.get(digest_of(credential))
        if key is None:
            return Refusal(AuthReason.INVALID_TOKEN, API_KEYS)
        if self._clock() >= key.expires_at:
            return Refusal(AuthReason.EXPIRED, API_KEYS)
        return key.principal()


def certificate_principal(certificate: Mapping[str, Any] | None, rules: Sequence[CertificateRule]) -> Principal | None:
    """Return the principal of a verified client certificate (as `ssl` describes it), None when no rule fits.

    SPIFFE: a certificate has exactly one URI; one with several is nobody's.
    """
    names = (certificate or {}).get("subjectAltName", ())
    uris = [value for kind, value in names if kind == "URI"]
    if len(uris) != 1:
        return None
    for rule in rules:
        if fnmatch.fnmatchcase(uris[0], rule.spiffe_id):
            return Principal(uris[0], rule.kind, MTLS, rule.roles, method=Method.MTLS)
    return None
