"""Sealed data: only its key opens it, nothing of a package can be exchanged, and the audit log holds it sealed."""

import base64
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from auth_sidecar.__main__ import main
from auth_sidecar.config import load
from auth_sidecar.encryption import EncryptionKey, KeyRing, SealError, parse_key
from contract.config import ConfigError
from contract.instruments import Instruments
from tests.auth_sidecar import sidecars
from tests.auth_sidecar.issuer import mint
from tests.auth_sidecar.sidecars import Start, call, post, records, samples

OLD = EncryptionKey("old", "internal", bytes(range(32)), 1000.0)
NEW = EncryptionKey("new", "internal", bytes(range(1, 33)), 2000.0)
SECRET = EncryptionKey("secret", "restricted", bytes(range(2, 34)), 1500.0)


def ring(*keys: EncryptionKey, registry: CollectorRegistry | None = None) -> KeyRing:
    return KeyRing(keys, Instruments(registry or CollectorRegistry(), "sidecar"), clock=lambda: 3000.0)


@given(
    st.dictionaries(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")) | st.integers(-9, 9))
)
def test_what_is_sealed_opens_again(data: dict[str, str | int]) -> None:
    assert ring(OLD).decrypt(ring(OLD).encrypt(data)) == data


def test_a_package_has_the_form_of_the_seeds() -> None:
    package = ring(OLD, SECRET).encrypt({"a": 1}, "restricted")
    assert set(package) == {"encrypted_data", "encryption_algorithm", "key_id", "classification", "timestamp"}
    assert (package["encryption_algorithm"], package["key_id"]) == ("AES-256-GCM", "secret")
    assert package["timestamp"] == "1970-01-01T00:50:00.000000+00:00"


def test_nothing_of_a_package_can_be_exchanged() -> None:
    registry = CollectorRegistry()
    both = ring(OLD, NEW, SECRET, registry=registry)
    package = both.encrypt({"a": 1})
    other = both.encrypt({"a": 2})
    changes = {
        "encrypted_data": [other["encrypted_data"], package["encrypted_data"][:-8], "!", ""],
        "key_id": ["old", "secret", "unknown"],
        "classification": ["restricted", ""],
        "timestamp": ["1970-01-01T00:50:01.000000+00:00"],
        "encryption_algorithm": ["AES-128-GCM", "none"],
    }
    for name, values in changes.items():
        for value in values:
            if name == "encrypted_data" and value == other["encrypted_data"]:
                continue  # the same key, time and classification: another package, rightly opened
            with pytest.raises(SealError):
                both.decrypt({**package, name: value})
    assert both.decrypt(package) == {"a": 1}
    assert samples(registry, "mcp_encryption_operations_total", operation="decrypt", result="failure") == 11


def test_the_newest_key_seals_and_the_old_one_still_opens() -> None:
    registry = CollectorRegistry()
    package = ring(OLD).encrypt({"a": 1})
    both = ring(NEW, OLD, registry=registry)
    moved = both.reencrypt(package)
    assert (package["key_id"], moved["key_id"]) == ("old", "new")
    assert both.decrypt(moved) == both.decrypt(package) == {"a": 1}
    assert both.reencrypt(moved) is moved
    assert samples(registry, "mcp_encryption_key_age_seconds", key_id="old", classification="internal") == 2000


def test_no_key_for_a_classification_is_an_error_and_counted() -> None:
    registry = CollectorRegistry()
    with pytest.raises(SealError, match="no key for the classification restricted"):
        ring(OLD, registry=registry).encrypt({"a": 1}, "restricted")
    assert samples(registry, "mcp_encryption_operations_total", operation="encrypt", result="failure") == 1


def test_a_key_never_shows_in_its_own_description() -> None:
    assert repr(OLD) == "EncryptionKey('old', 'internal')"
    with pytest.raises(ValueError, match="32 bytes"):
        parse_key("c2hvcnQ=")


async def test_the_audit_log_holds_client_and_arguments_sealed(
    start_sidecar: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "enc").write_text(base64.urlsafe_b64encode(os.urandom(32)).decode())
    (tmp_path / "enc").chmod(0o600)
    audit = {"folder": "audit", "key_file": "audit_key", "sealed": {"client": True, "arguments": True}}
    keys = [{"id": "k1", "key_file": "enc", "created": "2026-01-01"}]
    sidecar = await start_sidecar(audit=audit, encryption_keys=keys)
    message = call("search_knowledge", params={"name": "search_knowledge", "arguments": {"query": "planted"}})
    assert (await post(sidecar, mint(), message))[0] == 200
    assert (await post(sidecar, None, message))[0] == 401
    first, second = records(tmp_path)
    assert "client" not in first
    assert "planted" not in json.dumps(first)
    assert (first["sealed"]["key_id"], second["sealed"]["classification"]) == ("k1", "internal")
    config = ["--config", str(tmp_path / "sidecar.yaml")]
    main(["audit", "query", *config, "--unseal", "--event", "authz_allow"])
    opened = json.loads(capsys.readouterr().out)
    assert (opened["client"], opened["arguments"]) == ("127.0.0.1", {"query": "planted"})


def test_a_key_file_without_key_and_a_classification_without_key_are_told(tmp_path: Path) -> None:
    (tmp_path / "enc").write_text("short")
    (tmp_path / "enc").chmod(0o600)
    config = sidecars.configuration("http://localhost:1", "http://localhost:1/mcp")
    config["encryption_keys"] = [{"id": "k1", "key_file": "enc", "created": "2026-01-01"}]
    config["audit"]["sealed"] = {"classification": "restricted"}
    with pytest.raises(ConfigError) as raised:
        load(sidecars.write(tmp_path, config))
    told = [problem.message for problem in raised.value.problems]
    assert sorted(told) == [
        "no encryption key has the classification 'restricted'",
        "the file holds no AES-256 key",
    ]
