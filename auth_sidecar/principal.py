"""Who a verified credential stands for, and how claims of a token become that."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

MAX_NAME = 256
"""Longest subject, role or client id that is taken from a token."""
_PRINTABLE = re.compile(r"[\x21-\x7e\u00a1-\uffff][\x20-\x7e\u00a1-\uffff]*")


class PrincipalKind(StrEnum):
    """What stands behind a credential."""

    PERSON = "person"
    AGENT = "agent"
    SERVICE = "service"


_NO_SCOPES: frozenset[str] = frozenset()
_KINDS = {kind.value: kind for kind in PrincipalKind}


class Method(StrEnum):
    """How the caller proved who it is."""

    JWT = "jwt"
    API_KEY = "api_key"
    MTLS = "mtls"
    NONE = "none"


class Principal(NamedTuple):
    """A verified caller; times are seconds since the epoch."""

    subject: str
    kind: PrincipalKind
    issuer: str
    """Name of the configured issuer, `api_keys` or `mtls`."""
    roles: tuple[str, ...] = ()
    scopes: frozenset[str] = frozenset()
    client_id: str = ""
    token_id: str = ""
    issued_at: float = 0.0
    expires_at: float = float("inf")
    method: Method = Method.JWT

    @property
    def key(self) -> tuple[str, str]:
        """What identifies the caller across its tokens."""
        return self.issuer, self.subject


@dataclass(frozen=True)
class ClaimMapping:
    """Which claims carry what; a dotted name looks into nested objects (`realm_access.roles`)."""

    subject: str = "sub"
    roles: tuple[str, ...] = ("roles",)
    scopes: tuple[str, ...] = ("scope", "scp")
    client_id: tuple[str, ...] = ("client_id", "azp")
    kind: str = "principal_type"
    default_kind: PrincipalKind | None = None
    role_names: Mapping[str, str] = field(default_factory=dict)
    """The issuer's role name -> ours; names not listed count as they are."""
    default_roles: tuple[str, ...] = ()


def principal_of(
    claims: Mapping[str, Any], mapping: ClaimMapping, issuer: str, max_age_seconds: float = float("inf")
) -> Principal | None:
    """Build the principal of verified claims; None when the subject is missing or unusable."""
    subject = _name(find(claims, mapping.subject))
    if not subject:
        return None
    roles: list[str] = []
    for claim in mapping.roles:
        roles += words(find(claims, claim))
    if mapping.role_names:
        roles = [mapping.role_names.get(role, role) for role in roles]
    scopes: list[str] = []
    for claim in mapping.scopes:
        scopes += words(find(claims, claim))
    client_id = ""
    for claim in mapping.client_id:
        client_id = client_id or _name(find(claims, claim))
    issued, expires, token_id = _number(claims.get("iat")), _number(claims.get("exp")), claims.get("jti")
    return Principal(
        subject,
        _kind(find(claims, mapping.kind), mapping, subject, client_id),
        issuer,
        tuple(dict.fromkeys([*roles, *mapping.default_roles])),
        frozenset(scopes) if scopes else _NO_SCOPES,
        client_id,
        _printable(token_id) if type(token_id) is str else "",
        issued,
        min(expires, issued + max_age_seconds) if issued else expires,
    )


def find(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim: by its whole name (which may be a URL), else along the dots; None when absent."""
    if name in claims or "." not in name:
        return claims.get(name)
    value: Any = claims
    for step in name.split("."):
        value = value.get(step) if type(value) is dict else None
    return value


def words(value: object) -> list[str]:
    """Return a claim of several words: a list of strings, or one string with blanks between them."""
    if isinstance(value, str):
        parts: Sequence[object] = value.split(" ")
    elif isinstance(value, list):
        parts = value
    else:
        return []
    return [name for part in parts if (name := _name(part))]


def _name(value: object) -> str:
    """Return a printable name of bearable length, else the empty string."""
    return _remembered(value) if type(value) is str else ""


def _printable(name: str) -> str:
    return name if len(name) <= MAX_NAME and _PRINTABLE.fullmatch(name) else ""


_remembered = lru_cache(maxsize=4096)(_printable)
"""For names that many tokens share; a token's own id is not one of them."""


def _number(value: object) -> float:
    return float(value) if type(value) in (int, float) else 0.0  # type: ignore[arg-type]


def _kind(value: object, mapping: ClaimMapping, subject: str, client_id: str) -> PrincipalKind:
    """Take the claim's word; else a client that speaks for itself is a service, and anybody else a person."""
    if isinstance(value, str) and value in _KINDS:
        return _KINDS[value]
    if mapping.default_kind:
        return mapping.default_kind
    return PrincipalKind.SERVICE if client_id and client_id == subject else PrincipalKind.PERSON
