"""Verification of JWT access tokens: every check has its own reason, and nothing in a token chooses how it is checked.

RFC 7515, 7519, 8725 (best practice) and 9068 (access token profile). Keys come from configuration only: a token that
brings or names its own key (`jku`, `x5u`, `jwk`, `x5c`) is refused.
"""

import binascii
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from auth_sidecar import strict_json
from auth_sidecar.keys import KeySet
from auth_sidecar.principal import ClaimMapping, Principal, principal_of
from contract.vocabulary import AuthReason

MAX_TOKEN_BYTES = 16384
"""Longest token that is looked at."""
_FOREIGN_KEYS = frozenset({"jku", "x5u", "jwk", "x5c"})
_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
"""Base64url letters to those of plain base64, and what base64url does not have to something invalid."""


class Refusal(NamedTuple):
    """Why a credential does not count; `issuer` is the configured name, empty before it is known."""

    reason: AuthReason
    issuer: str = ""
    principal: Principal | None = None
    """Who it stood for, where it was genuine."""


class Verifier(Protocol):
    """Turns a credential into a principal; beside JWT, introspection or DPoP-bound tokens can stand here."""

    def verify(self, credential: str) -> Principal | Refusal:
        """Return who the credential stands for, or why it does not count; never raises for bad input."""


@dataclass(frozen=True)
class IssuerRules:
    """What tokens of one issuer must be like."""

    name: str
    issuer: str
    audiences: frozenset[str]
    """Canonical forms, see `canonical_audience`."""
    keys: Callable[[], KeySet | None]
    """Returns the keys in force, None while there are none that may still be trusted."""
    algorithms: frozenset[str] = frozenset({"RS256"})
    types: frozenset[str] = frozenset({"", "jwt", "at+jwt"})
    required_claims: tuple[str, ...] = ()
    leeway_seconds: float = 30.0
    max_age_seconds: float = math.inf
    mapping: ClaimMapping = field(default_factory=ClaimMapping)


class _Parts(NamedTuple):
    header: dict[str, Any]
    claims: dict[str, Any]
    message: bytes
    signature: bytes


class TokenVerifier:
    """Verifies tokens of the configured issuers."""

    def __init__(self, issuers: Mapping[str, IssuerRules], clock: Callable[[], float]) -> None:
        """Take the rules by issuer URL and a clock that tells seconds since the epoch."""
        self._issuers = issuers
        self._clock = clock

    def verify(self, credential: str) -> Principal | Refusal:
        """Return the token's principal or the first reason against it; signature before claims."""
        parts = _split(credential)
        if parts is None:
            return Refusal(AuthReason.INVALID_TOKEN)
        rules = self._issuers.get(parts.claims["iss"]) if isinstance(parts.claims.get("iss"), str) else None
        if rules is None:
            missing = parts.claims.get("iss") is None
            return Refusal(AuthReason.MISSING_CLAIM if missing else AuthReason.WRONG_ISSUER)
        reason = _check_header(parts.header, rules) or _check_signature(parts, rules)
        reason = reason or _check_claims(parts.claims, rules, self._clock())
        if reason:
            return Refusal(reason, rules.name)
        principal = principal_of(parts.claims, rules.mapping, rules.name, rules.max_age_seconds)
        return principal or Refusal(AuthReason.MISSING_CLAIM, rules.name)


def canonical_audience(audience: str) -> str:
    """Return an audience as it is compared: scheme and host of a URL in lower case, without one slash at its end.

    What a parser of URLs would drop without a word (blanks, control characters) makes it another one.
    """
    if " " in audience or not audience.isprintable():
        return audience
    try:
        url = urlsplit(audience)
    except ValueError:
        return audience
    if not url.scheme or not url.netloc:
        return audience
    return url._replace(scheme=url.scheme.lower(), netloc=url.netloc.lower()).geturl().removesuffix("/")


def _split(credential: str) -> _Parts | None:
    """Take a compact JWS apart; None for whatever is not exactly one."""
    if len(credential) > MAX_TOKEN_BYTES or not credential.isascii() or credential.count(".") != 2:
        return None
    message, _, signature = credential.encode().rpartition(b".")
    header, _, payload = message.partition(b".")
    try:
        return _Parts(_header(header), strict_json.parse_object(_decode(payload)), message, _decode(signature))
    except ValueError:
        return None


@lru_cache(maxsize=256)
def _header(part: bytes) -> dict[str, Any]:
    """Return a token's header, which nobody changes; all tokens of one key have the same. Raises ValueError."""
    return strict_json.parse_object(_decode(part))


def _decode(part: bytes) -> bytes:
    """Decode base64url without padding; raises ValueError for every other spelling of the same bytes."""
    standard = part.translate(_TO_STANDARD) + b"=" * (-len(part) % 4)
    plain = binascii.a2b_base64(standard, strict_mode=True)
    if binascii.b2a_base64(plain, newline=False) != standard:
        raise ValueError("not canonical base64url")
    return plain


def _check_header(header: Mapping[str, Any], rules: IssuerRules) -> AuthReason | None:
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in rules.algorithms:
        return AuthReason.ALGORITHM_NOT_ALLOWED
    if "crit" in header or not _FOREIGN_KEYS.isdisjoint(header):
        return AuthReason.INVALID_TOKEN
    kind = header.get("typ", "")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in rules.types:
        return AuthReason.INVALID_TOKEN
    return None


def _check_signature(parts: _Parts, rules: IssuerRules) -> AuthReason | None:
    keys = rules.keys()
    if keys is None:
        return AuthReason.KEYS_UNAVAILABLE
    key_id, algorithm = parts.header.get("kid"), parts.header["alg"]
    candidates = keys.candidates(key_id) if key_id is None or isinstance(key_id, str) else ()
    if not candidates:
        return AuthReason.UNKNOWN_KEY
    reason = AuthReason.ALGORITHM_NOT_ALLOWED
    for key in candidates:
        if algorithm in key.algorithms:
            if key.verifies(algorithm, parts.message, parts.signature):
                return None
            reason = AuthReason.INVALID_SIGNATURE
    return reason


def _check_claims(claims: Mapping[str, Any], rules: IssuerRules, now: float) -> AuthReason | None:
    aged = ("iat",) if rules.max_age_seconds < math.inf else ()
    for name in ("exp", "aud", *aged, *rules.required_claims):
        if claims.get(name) is None:
            return AuthReason.MISSING_CLAIM
    return _check_times(claims, rules, now) or _check_audience(claims["aud"], rules)


def _check_times(claims: Mapping[str, Any], rules: IssuerRules, now: float) -> AuthReason | None:
    expires, not_before, issued = claims["exp"], claims.get("nbf", 0), claims.get("iat", now)
    if not (_is_time(expires) and _is_time(not_before) and _is_time(issued)):
        return AuthReason.INVALID_TOKEN
    if now >= expires + rules.leeway_seconds or now - issued > rules.max_age_seconds:
        return AuthReason.EXPIRED
    if max(not_before, issued) > now + rules.leeway_seconds:
        return AuthReason.NOT_YET_VALID
    return None


def _check_audience(audience: object, rules: IssuerRules) -> AuthReason | None:
    named = audience if isinstance(audience, list) else [audience]
    for one in named:
        if isinstance(one, str) and (one in rules.audiences or canonical_audience(one) in rules.audiences):
            return None
    return AuthReason.WRONG_AUDIENCE


def _is_time(value: object) -> bool:
    return type(value) in (int, float) and -1e12 < value < 1e12  # type: ignore[operator]
