"""What a running sidecar keeps until its next start: a reload that changes it is refused and changes nothing."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from contract.config import Finding

if TYPE_CHECKING:
    from auth_sidecar.config import SidecarConfig

FIXED = (
    "log_level", "drain", "workers", "traffic", "admin.host", "admin.port", "forward_auth", "revocations_file",
    "tls.client_ca_file", "tls.require_client_cert",
    "limits.header_bytes", "limits.cached_tokens",
    "upstream.connect_timeout", "upstream.idle_timeout",
    "audit.folder", "audit.key_file", "audit.previous_key_files", "audit.durability", "audit.max_segment_bytes",
    "audit.max_segment_age", "audit.retention",
)  # fmt: skip
"""Fields, and whole sections, by their dotted names."""
SHARED = ("limits.lockout.max_clients", "limits.rate.max_clients")
"""Sizes of what several workers share, fixed where there are several."""


def check(running: "SidecarConfig", fresh: "SidecarConfig") -> Iterator[Finding]:
    """Find what the running sidecar could not put into force."""
    names = FIXED + (SHARED if running.workers > 1 else ())
    if (running.tls is None) != (fresh.tls is None):
        names = ("tls", *(name for name in names if not name.startswith("tls.")))
    for name in names:
        if _of(running, name) != _of(fresh, name):
            mend = "restart, or take the change back; nothing else was put into force either"
            yield Finding(tuple(name.split(".")), "a change of this takes effect at the next start only", mend)


def _of(config: "SidecarConfig", name: str) -> object:
    found: object = config
    for part in name.split("."):
        found = getattr(found, part, None)
    return found
