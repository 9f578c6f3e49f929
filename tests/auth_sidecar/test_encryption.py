"""Sealed data: only its key opens it, nothing of a package can be exchanged, and the audit log holds it sealed."""

import base64
import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from auth_sidecar import audit_chain
from auth_sidecar.__main__ import main
from auth_sidecar.audit_chain import Sealer
from auth_sidecar.audit_log import AuditLog
from auth_sidecar.audit_verify import verify
from auth_sidecar.config import load
from auth_sidecar.encryption import AuditSealing, EncryptionKey, KeyRing, SealError, parse_key
from contract.config import ConfigError
from contract.instruments import Instruments
from contract.vocabulary import AuditEvent
from tests.auth_sidecar import sidecars
from tests.auth_sidecar.issuer import mint
from tests.auth_sidecar.sidecars import KEY, Start, call, post, records, samples

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


async def test_a_seal_fixes_what_a_package_holds_and_lets_another_key_take_it_over(tmp_path: Path) -> None:
    made = AuditLog(tmp_path, [KEY.encode()], Instruments(CollectorRegistry(), "sidecar"), clock=time.time)
    made.open()
    for number in range(3):
        request = {"event": "authz_allow", "n": number, "client": "192.0.2.7"}
        package = AuditSealing(ring(OLD), seals_client=True).apply(request, None)
        body = audit_chain.fragment(request) + audit_chain.PACKAGE_MARK + package
        await made.append(AuditEvent.AUTHZ_ALLOW, body)
    await made.close()
    (segment,) = audit_chain.segments(tmp_path)
    lines = segment.read_bytes().splitlines()
    taken = audit_chain.parts(lines[1])
    other = audit_chain.parts(lines[2])
    moved = json.dumps(ring(OLD, NEW).reencrypt(json.loads(taken.package)), separators=(",", ":")).encode()
    fake = json.dumps(ring(OLD).encrypt({"client": "198.51.100.1"}), separators=(",", ":")).encode()
    good = {"as it was": lines[1], "another key": audit_chain.joined(taken.body, taken.seal, moved)}
    bad = {
        "another record's": audit_chain.joined(taken.body, taken.seal, other.package),
        "another content": audit_chain.joined(taken.body, taken.seal, fake),
        "no package": taken.body + b',"mac":"' + taken.seal + b'"}',
        "a field more": lines[1][:-1] + b',"event":"admin"}',
        "a field more before": lines[1].replace(b',"sealed":', b',"n":7,"sealed":'),
        "no object": audit_chain.joined(taken.body, taken.seal, b"[{}"),
        "an odd key id": lines[1].replace(b'"key_id":"old"', b'"key_id":["old"]'),
        "a field of the record": lines[1].replace(b'"n":0', b'"n":1'),
    }
    for words, line, is_whole in [(w, x, True) for w, x in good.items()] + [(w, x, False) for w, x in bad.items()]:
        segment.write_bytes(b"\n".join([lines[0], line, *lines[2:], b""]))
        walk = verify(tmp_path, [Sealer(KEY.encode())], ring=ring(OLD, NEW))
        assert walk.is_whole is is_whole, words
    segment.write_bytes(b"\n".join([*lines, b""]))
    assert verify(tmp_path, [Sealer(KEY.encode())], ring=ring(NEW)).unopened == 3
    assert audit_chain.read(lines[1])["n"] == 0


def test_equal_contents_have_different_digests() -> None:
    """An address has few possible values; without a salt its digest would be the address."""
    first, second = {"client": "192.0.2.7"}, {"client": "192.0.2.7"}
    for request in (first, second):
        AuditSealing(ring(OLD), seals_client=True).apply(request, None)
    assert first["sealed_digest"] != second["sealed_digest"]


def test_a_record_of_the_first_version_holds_its_package_under_the_seal(tmp_path: Path) -> None:
    sealed = ring(OLD).encrypt({"client": "192.0.2.7"})
    body = audit_chain.fragment({"event": "authz_allow", "sealed": sealed})
    (line,), _ = Sealer(KEY.encode()).seal(audit_chain.Link(), "2026-01-01T00:00:00.000000Z", [body])
    audit_chain.segment_path(tmp_path, 1).write_bytes(line)
    assert verify(tmp_path, [Sealer(KEY.encode())], ring=ring(OLD)).is_whole
    audit_chain.segment_path(tmp_path, 1).write_bytes(line.replace(b'"key_id":"old"', b'"key_id":"new"'))
    assert not verify(tmp_path, [Sealer(KEY.encode())], ring=ring(OLD)).is_whole
