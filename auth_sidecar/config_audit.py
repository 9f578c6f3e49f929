"""Configuration of what is written down: the audit log, and the keys for what nobody else shall read."""

import datetime
from typing import Literal

from pydantic import Field

from auth_sidecar.audit_log import Durability
from auth_sidecar.encryption import EncryptionKey, parse_key
from contract.config import Model
from contract.fields import PositiveDuration, RelativePath, SecretFile


class EncryptionKeyModel(Model):
    """A key for sensitive data; the newest of a classification seals, all of them open."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    classification: str = "internal"
    key_file: SecretFile
    created: datetime.datetime

    def compiled(self) -> EncryptionKey:
        """Return the key in the form that seals; raises ValueError when its file holds no key."""
        created = self.created.replace(tzinfo=self.created.tzinfo or datetime.UTC)
        return EncryptionKey(self.id, self.classification, parse_key(self.key_file.read()), created.timestamp())


class Sealed(Model):
    """What the audit log holds sealed only."""

    client: bool = False
    """The client's address."""
    arguments: bool = False
    """The arguments of calls, which are not recorded at all otherwise."""
    classification: str = "internal"


class Audit(Model):
    """The audit log."""

    folder: RelativePath
    key_file: SecretFile
    previous_key_files: tuple[SecretFile, ...] = ()
    durability: Durability = Durability.WRITE
    on_failure: Literal["deny", "allow"] = "deny"
    """What happens to a request whose record cannot be written."""
    max_segment_bytes: int = Field(default=64 << 20, ge=4096)
    max_segment_age: PositiveDuration = 86400.0
    retention: PositiveDuration = 365 * 86400.0
    sealed: Sealed | None = None
    verify_every: PositiveDuration = 30.0
    """How often the background verifier looks at what is new."""
    verify_whole_every: PositiveDuration = 86400.0
    """How often it looks at everything again."""
