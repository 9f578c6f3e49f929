"""Public keys of issuers: a JWKS document becomes an immutable set that finds the keys for a token."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import Algorithm, get_default_algorithms

from auth_sidecar import strict_json

MAX_KEYS = 100
"""Most keys that are taken from one document."""
MIN_RSA_BITS = 2048
"""RSA keys below this size are not taken (RFC 7518, section 3.3)."""

_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_ALGORITHMS: Mapping[str, Algorithm] = get_default_algorithms()


class Key(NamedTuple):
    """One public key, and the algorithms whose signatures may be checked with it."""

    key_id: str
    algorithms: frozenset[str]
    material: Any

    def verifies(self, algorithm: str, message: bytes, signature: bytes) -> bool:
        """Whether the signature over the message was made with this key's private half."""
        return bool(_ALGORITHMS[algorithm].verify(message, self.material, signature))


@dataclass(frozen=True)
class KeySet:
    """The usable keys of one issuer; several may carry the same id while they are being exchanged."""

    keys: tuple[Key, ...]
    by_id: Mapping[str, tuple[Key, ...]] = field(default_factory=dict)
    fingerprint: frozenset[tuple[str, str]] = frozenset()
    """Equal exactly when the keys are; keys themselves cannot be compared."""

    def candidates(self, key_id: str | None) -> tuple[Key, ...]:
        """Return the keys a token may be signed with: those of its id, or the only one when it names none."""
        if key_id is None:
            return self.keys if len(self.keys) == 1 else ()
        return self.by_id.get(key_id, ())


def parse_jwks(document: bytes | str) -> KeySet:
    """Read a JWKS (RFC 7517); keys of other uses, kinds or sizes are passed over.

    Raises ValueError when it is no JWKS or holds no usable key.
    """
    entries = strict_json.parse_object(document).get("keys")
    if not isinstance(entries, list):
        raise ValueError("the document has no list of keys")
    pairs = [(key, entry) for entry in entries[:MAX_KEYS] if (key := _key(entry))]
    if not pairs:
        raise ValueError("the document holds no usable signature key")
    by_id: dict[str, tuple[Key, ...]] = {}
    for key, _ in pairs:
        by_id[key.key_id] = (*by_id.get(key.key_id, ()), key)
    return KeySet(tuple(key for key, _ in pairs), by_id, frozenset(_fingerprint(entry) for _, entry in pairs))


def _key(entry: object) -> Key | None:
    if not isinstance(entry, dict) or entry.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    operations = entry.get("key_ops", ["verify"])
    if entry.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    public = {name: value for name, value in entry.items() if name not in ("d", "p", "q", "dp", "dq", "qi", "oth")}
    try:
        material = jwt.PyJWK(public, algorithm=entry.get("alg") or _default_algorithm(entry)).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(material, rsa.RSAPublicKey) and material.key_size < MIN_RSA_BITS:
        return None
    algorithms = _algorithms(material)
    if entry.get("alg"):
        algorithms &= {str(entry["alg"])}
    return Key(str(entry.get("kid", "")), algorithms, material)


def _algorithms(material: object) -> frozenset[str]:
    """Return every algorithm that a key of this kind and curve can be meant for."""
    if isinstance(material, rsa.RSAPublicKey):
        return _RSA
    if isinstance(material, ec.EllipticCurvePublicKey):
        return frozenset({_CURVES[material.curve.name]} if material.curve.name in _CURVES else ())
    return frozenset({"EdDSA"} if isinstance(material, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) else ())


def _default_algorithm(entry: Mapping[str, Any]) -> str:
    """Name an algorithm that lets PyJWT read the key; which ones may be used is decided per token."""
    if entry["kty"] == "EC":
        return {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}.get(str(entry.get("crv")), "")
    return "RS256" if entry["kty"] == "RSA" else "EdDSA"


def _fingerprint(entry: Mapping[str, Any]) -> tuple[str, str]:
    parts = ("kty", "alg", "crv", "n", "e", "x", "y")
    return str(entry.get("kid", "")), "|".join(str(entry.get(part, "")) for part in parts)
