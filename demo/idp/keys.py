"""Signing keys: the newest signs, the one before it stays published so that its tokens live out their time."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

PUBLISHED = 2
"""Keys in the published set: the signing one and its forerunner."""


class KeyRing:
    """RSA keys, newest first; kept in `<folder>/idp_keys.pem` when a folder is given."""

    def __init__(self, folder: Path | None = None) -> None:
        self._file = folder / "idp_keys.pem" if folder else None
        self._keys = _read(self._file) if self._file and self._file.exists() else []
        if not self._keys:
            self.rotate()

    def rotate(self) -> str:
        """Sign with a new key from now on and return its key id."""
        self._keys = [rsa.generate_private_key(public_exponent=65537, key_size=2048), *self._keys][:PUBLISHED]
        if self._file:
            _write(self._file, self._keys)
        return self.key_id

    @property
    def key_id(self) -> str:
        """The signing key's id: its RFC 7638 thumbprint."""
        return _thumbprint(_public_jwk(self._keys[0]))

    def sign(self, claims: dict[str, Any]) -> str:
        """Return the claims as an access token, signed with RS256."""
        return jwt.encode(claims, self._keys[0], algorithm="RS256", headers={"kid": self.key_id, "typ": "at+jwt"})

    def published(self) -> dict[str, Any]:
        """Return the public keys as a JSON Web Key Set."""
        return {"keys": [_with_id(_public_jwk(key)) for key in self._keys]}


def _public_jwk(key: rsa.RSAPrivateKey) -> dict[str, Any]:
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {name: jwk[name] for name in ("e", "kty", "n")}


def _with_id(jwk: dict[str, Any]) -> dict[str, Any]:
    return {**jwk, "kid": _thumbprint(jwk), "use": "sig", "alg": "RS256"}


def _thumbprint(jwk: dict[str, Any]) -> str:
    canonical = json.dumps(jwk, sort_keys=True, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()


def _read(file: Path) -> list[rsa.RSAPrivateKey]:
    end = b"-----END PRIVATE KEY-----\n"
    blocks = [block + end for block in file.read_bytes().split(end) if block.strip()]
    keys = [serialization.load_pem_private_key(block, password=None) for block in blocks]
    return [key for key in keys if isinstance(key, rsa.RSAPrivateKey)]


def _write(file: Path, keys: list[rsa.RSAPrivateKey]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(b"".join(_pem(key) for key in keys))
    fresh.replace(file)


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
