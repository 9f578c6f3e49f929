"""A reload puts a whole configuration into force or none of it; what it cannot is known field by field."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest
import yaml

from auth_sidecar.app import Sidecar
from auth_sidecar.config import SidecarConfig
from auth_sidecar.fixed import FIXED, SHARED, check
from tests.auth_sidecar import certificates, sidecars
from tests.auth_sidecar.agents import Echo
from tests.auth_sidecar.issuer import Idp, mint
from tests.auth_sidecar.sidecars import Start, call, configuration, post

IN_FORCE = {
    "admin.token_file", "api_keys", "encryption_keys", "issuers", "operations", "resource", "roles_file", "routes",
    "audit.on_failure", "audit.sealed", "audit.verify_every", "audit.verify_whole_every",
    "limits.body_bytes", "limits.lockout.duration", "limits.lockout.failures", "limits.lockout.window",
    "limits.rate.burst", "limits.rate.per", "limits.rate.requests",
    "tls.cert_file", "tls.identities", "tls.key_file",
    "upstream.keep_authorization", "upstream.response_timeout",
}  # fmt: skip
"""What a reload puts into force: fields, and whole sections. A new field has to be named here or in `fixed`."""


def fields(model: type[pydantic.BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield every field by its dotted name, down to what is named as a whole."""
    for name, field in model.model_fields.items():
        dotted = f"{prefix}{name}"
        inner = [kind for kind in (field.annotation, *getattr(field.annotation, "__args__", ())) if _is_section(kind)]
        if inner and dotted not in {*FIXED, *IN_FORCE}:
            yield from fields(inner[0], f"{dotted}.")
        else:
            yield dotted


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)


def test_of_every_field_it_is_known_what_a_reload_does() -> None:
    assert sorted(fields(SidecarConfig)) == sorted({*FIXED, *SHARED, *IN_FORCE})


async def reloaded(sidecar: Sidecar, folder: Path, **changed: Any) -> list[str]:
    """Change sections of a running sidecar's configuration and return what keeps them from being put into force."""
    config = yaml.safe_load((folder / "sidecar.yaml").read_text())
    for section, value in changed.items():
        config[section] = {**config.get(section, {}), **value} if isinstance(value, dict) else value
    sidecars.write(folder, config)
    return [problem.field for problem in await sidecar.reloader.reload()]


CHANGES: dict[str, dict[str, Any]] = {
    "log_level": {"log_level": "debug"},
    "drain": {"drain": "7s"},
    "workers": {"workers": 2, "revocations_file": "revoked.json"},
    "traffic": {"traffic": {"host": "127.0.0.2"}},
    "admin.port": {"admin": {"port": 1}},
    "forward_auth": {"forward_auth": {"port": 1}},
    "revocations_file": {"revocations_file": "revoked.json"},
    "limits.header_bytes": {"limits": {"header_bytes": 8192}},
    "limits.cached_tokens": {"limits": {"cached_tokens": 7}},
    "upstream.connect_timeout": {"upstream": {"connect_timeout": "7s"}},
    "upstream.idle_timeout": {"upstream": {"idle_timeout": "7s"}},
    "audit.folder": {"audit": {"folder": "elsewhere"}},
    "audit.durability": {"audit": {"durability": "fsync"}},
    "audit.retention": {"audit": {"retention": "7d"}},
}


@pytest.mark.parametrize("name", CHANGES)
async def test_what_takes_a_restart_is_refused_by_name_and_nothing_of_it_is_put_into_force(
    sidecar: Sidecar, tmp_path: Path, name: str
) -> None:
    changes = {**CHANGES[name], "operations": {"tools": {"search_knowledge": "workflow:delete"}}}
    assert name in await reloaded(sidecar, tmp_path, **changes)
    assert (await post(sidecar, mint(), call("search_knowledge")))[0] == 200, "as before"


def test_sizes_of_what_workers_share_are_fixed_where_there_are_several(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(sidecars.KEY)
    (tmp_path / "key").chmod(0o600)

    def read(workers: int, clients: int) -> SidecarConfig:
        config = configuration("http://127.0.0.1:1", "http://127.0.0.1:1/mcp", workers=workers)
        config |= {"limits": {"lockout": {"max_clients": clients}}, "audit": {"folder": "a", "key_file": "key"}}
        return SidecarConfig.model_validate(config, context={"folder": tmp_path, "warnings": []})

    assert [*check(read(1, 10), read(1, 20))] == []
    [found] = check(read(2, 10), read(2, 20))
    assert found.location == ("limits", "lockout", "max_clients")


async def test_tls_is_neither_added_nor_loosened_nor_are_authorities_exchanged_by_a_reload(
    start_sidecar: Start, tmp_path: Path, idp: Idp, echo: Echo
) -> None:
    folder = tmp_path / "certificates"
    certificates.authority(folder)
    certificates.issued(folder, "server", "DNS:localhost")
    tls = {"cert_file": "certificates/server.pem", "key_file": "certificates/server.key"}
    strict = {**tls, "client_ca_file": "certificates/ca.pem", "require_client_cert": True}
    sidecar = await start_sidecar(tls=strict)
    assert await reloaded(sidecar, tmp_path, tls={**strict, "require_client_cert": False}) == [
        "tls.require_client_cert"
    ]
    assert await reloaded(sidecar, tmp_path, tls=strict) == []
    certificates.authority(folder)
    assert await reloaded(sidecar, tmp_path, tls=strict) == ["tls.client_ca_file"]
