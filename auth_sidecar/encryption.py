"""Sensitive data sealed with AES-256-GCM: a ring of keys with ids and classifications, in the package form agreed on.

Key id, classification, algorithm and time are associated data, so none of them can be exchanged. The newest key of a
classification seals, every key opens what it sealed; `reencrypt` moves a package to the newest key.
"""

import base64
import binascii
import datetime
import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from contract.instruments import Instruments

ALGORITHM = "AES-256-GCM"
KEY_BYTES = 32
_NONCE_BYTES = 12
_SALT_BYTES = 32
SALT = "salt"
"""Field of a package in the audit log that makes its digest tell nothing."""
_BOUND = ("encryption_algorithm", "key_id", "classification", "timestamp")

Package = Mapping[str, str]


class EncryptionKey(NamedTuple):
    """One key of a ring; `created_at` is seconds since the epoch."""

    key_id: str
    classification: str
    secret: bytes
    created_at: float

    def __repr__(self) -> str:
        return f"EncryptionKey({self.key_id!r}, {self.classification!r})"


class SealError(Exception):
    """A package cannot be sealed or opened; the message names the key, never the data."""


class KeyRing:
    """Seals and opens packages and counts it."""

    def __init__(
        self, keys: Sequence[EncryptionKey], instruments: Instruments, clock: Callable[[], float] = time.time
    ) -> None:
        """Take the keys in any order; a clock tells seconds since the epoch."""
        self._keys = {key.key_id: key for key in keys}
        self._ciphers = {key.key_id: AESGCM(key.secret) for key in keys}
        self._newest: dict[str, EncryptionKey] = {}
        for key in sorted(keys, key=lambda key: key.created_at):
            self._newest[key.classification] = key
        self._clock = clock
        self._counts = {
            (operation, result): instruments.child("mcp_encryption_operations_total", operation, result)
            for operation in ("encrypt", "decrypt")
            for result in ("success", "failure")
        }
        for key in keys:
            age = instruments.child("mcp_encryption_key_age_seconds", key.key_id, key.classification)
            if hasattr(age, "set_function"):
                age.set_function(lambda created=key.created_at: clock() - created)

    def encrypt(self, data: Mapping[str, Any], classification: str = "internal") -> Package:
        """Seal data with the newest key of its classification; raises SealError when there is none."""
        return self.seal(orjson.dumps(data), classification)

    def seal(self, plain: bytes, classification: str) -> Package:
        """Seal bytes, as `encrypt` does data."""
        key = self._newest.get(classification)
        if key is None:
            self._counts["encrypt", "failure"].inc()
            raise SealError(f"no key for the classification {classification}")
        moment = datetime.datetime.fromtimestamp(self._clock(), datetime.UTC)
        package = {
            "encryption_algorithm": ALGORITHM,
            "key_id": key.key_id,
            "classification": classification,
            "timestamp": moment.isoformat(timespec="microseconds"),
        }
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._ciphers[key.key_id].encrypt(nonce, plain, _associated(package))
        self._counts["encrypt", "success"].inc()
        return {"encrypted_data": base64.b64encode(nonce + sealed).decode(), **package}

    def decrypt(self, package: Package) -> dict[str, Any]:
        """Open a package; raises SealError when its key is unknown or anything of it was altered."""
        data: dict[str, Any] = orjson.loads(self.open(package))
        return data

    def open(self, package: Package) -> bytes:
        """Open a package, as `decrypt` does, and return the bytes that were sealed."""
        try:
            plain = self._open(package)
        except (InvalidTag, binascii.Error, KeyError, TypeError, ValueError, AttributeError):
            self._counts["decrypt", "failure"].inc()
            raise SealError(f"cannot be opened with the key {package.get('key_id')!r}") from None
        self._counts["decrypt", "success"].inc()
        return plain

    def holds(self, package: object, digest: object) -> bool | None:
        """Whether a package of an audit record holds what its digest says; None when its key is not in the ring."""
        if not isinstance(package, dict) or {type(package.get(name)) for name in (*_BOUND, "encrypted_data")} != {str}:
            return False
        if package["key_id"] not in self._keys:
            return None
        try:
            return hashlib.sha256(self.open(package)).hexdigest() == digest
        except SealError:
            return False

    def is_newest(self, package: Package) -> bool:
        """Whether a package is sealed with the newest key of its classification."""
        newest = self._newest.get(package.get("classification", ""))
        return newest is not None and newest.key_id == package.get("key_id")

    def is_in_use(self, key_id: str) -> bool:
        """Whether a key is the newest of its classification."""
        return any(key.key_id == key_id for key in self._newest.values())

    def reencrypt(self, package: Package) -> Package:
        """Return the package sealed with the newest key of its classification; raises SealError."""
        return package if self.is_newest(package) else self.seal(self.open(package), package["classification"])

    def _open(self, package: Package) -> bytes:
        if package["encryption_algorithm"] != ALGORITHM:
            raise ValueError("another algorithm")
        key = self._keys[package["key_id"]]
        if key.classification != package["classification"]:
            raise ValueError("another classification")
        sealed = base64.b64decode(package["encrypted_data"], validate=True)
        return self._ciphers[key.key_id].decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _associated(package))


class AuditSealing(NamedTuple):
    """Which parts of an audit record nobody reads without a key."""

    ring: KeyRing
    seals_client: bool = False
    records_arguments: bool = False
    classification: str = "internal"

    def apply(self, request: dict[str, Any], arguments: Mapping[str, Any] | None) -> bytes:
        """Move what is sensitive out of the request's part of a record into a package, and return that.

        The digest of what it holds takes its place in the record. Raises SealError.
        """
        secret: dict[str, Any] = {}
        if self.seals_client:
            secret["client"] = request.pop("client")
        if self.records_arguments and arguments:
            secret["arguments"] = arguments
        if not secret:
            return b""
        plain = orjson.dumps({SALT: os.urandom(_SALT_BYTES).hex(), **secret})
        request["sealed_digest"] = hashlib.sha256(plain).hexdigest()
        return orjson.dumps(self.ring.seal(plain, self.classification))


def parse_key(text: str) -> bytes:
    """Return the bytes of a key file: 32 random bytes in base64 or base64url; raises ValueError for anything else."""
    secret = base64.urlsafe_b64decode(text.replace("+", "-").replace("/", "_") + "=" * (-len(text) % 4))
    if len(secret) != KEY_BYTES:
        raise ValueError(f"an encryption key has {KEY_BYTES} bytes, this one has {len(secret)}")
    return secret


def _associated(package: Package) -> bytes:
    return orjson.dumps([package[name] for name in _BOUND])
