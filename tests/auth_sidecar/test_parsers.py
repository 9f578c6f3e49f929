"""The parsers at the boundary, fed with everything: a value or a refusal, never a surprise."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_sidecar import strict_json
from auth_sidecar.decision import has_query_token
from auth_sidecar.keys import parse_jwks
from auth_sidecar.operations import Action, Refused, decode_header, read_body, read_headers
from auth_sidecar.principal import ClaimMapping, Principal, principal_of
from auth_sidecar.sessions import SessionBinding
from auth_sidecar.tokens import IssuerRules, Refusal, TokenVerifier
from tests.auth_sidecar.issuer import ISSUER, RESOURCE, jwks, mint, rsa_key

KEYS = parse_jwks(jwks(**{"key-1": rsa_key("key-1")}))
VERIFIER = TokenVerifier({ISSUER: IssuerRules("demo", ISSUER, frozenset({RESOURCE}), lambda: KEYS)}, lambda: 1e9)
GOOD = mint(exp=4_000_000_000, iat=None, nbf=None)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
headers = st.dictionaries(st.sampled_from(["mcp-protocol-version", "mcp-method", "mcp-name"]), st.text())


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_no_text_is_a_token_by_accident(text: str) -> None:
    assert isinstance(VERIFIER.verify(text), Refusal)


@given(st.integers(0, len(GOOD) - 1), st.characters())
def test_no_token_with_another_letter_is_good(place: int, letter: str) -> None:
    changed = GOOD[:place] + letter + GOOD[place + 1 :]
    assert isinstance(VERIFIER.verify(GOOD), Principal)
    assert changed == GOOD or isinstance(VERIFIER.verify(changed), Refusal)


@given(json_values, json_values)
def test_no_header_or_payload_is_a_surprise(header: Any, payload: Any) -> None:
    parts = (json.dumps(part).encode() for part in (header, payload))
    token = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."
    assert isinstance(VERIFIER.verify(token), Refusal)


@pytest.mark.parametrize(
    "text", ['{"a":1}{"a":2}', '{"a":1} x', '\ufeff{"a":1}', '\u00a0{"a":1}', '{"a":1}\0', " ", '{"a":1']
)
def test_json_is_one_document_and_nothing_else(text: str) -> None:
    assert strict_json.parse(' \t\r\n{"a":1}\n ') == {"a": 1}
    with pytest.raises(ValueError, match=r"document|Expecting"):
        strict_json.parse(text)


@given(st.binary(), headers)
def test_any_body_is_read_or_refused(body: bytes, head: dict[str, str]) -> None:
    assert isinstance(read_body(body, head), Action | Refused)


@given(json_values, json_values, headers)
def test_any_message_is_read_or_refused(method: Any, params: Any, head: dict[str, str]) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    found = read_body(body, head)
    assert isinstance(found, Action | Refused)
    if isinstance(found, Action):
        assert found.method == method


@given(headers, st.booleans())
def test_any_headers_are_read_or_refused(head: dict[str, str], is_trusted: bool) -> None:
    found = read_headers(head, is_trusted=is_trusted)
    assert isinstance(found, Action | Refused)
    assert is_trusted or found == Action("http/post", version=head.get("mcp-protocol-version", ""))


@given(st.text())
def test_a_base64_header_says_what_was_encoded(text: str) -> None:
    encoded = base64.b64encode(text.encode("utf-8", "replace")).decode()
    assert decode_header(f"=?base64?{encoded}?=") == text.encode("utf-8", "replace").decode()


@given(json_values)
def test_strict_json_reads_what_json_writes(value: Any) -> None:
    assert strict_json.parse(json.dumps(value)) == value


@given(st.dictionaries(st.text(), json_values))
def test_any_claims_make_a_principal_or_none(claims: dict[str, Any]) -> None:
    found = principal_of(claims, ClaimMapping(roles=("roles", "a.b")), "demo")
    assert found is None or found.subject


@given(st.text(), st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126)), st.text())
def test_a_session_belongs_to_one_principal_and_one_path(subject: str, session: str, other: str) -> None:
    binding = SessionBinding(b"secret")
    one = principal_of({"sub": "one"}, ClaimMapping(), "demo")
    two = principal_of({"sub": "two"}, ClaimMapping(), "demo")
    assert one
    assert two
    held = binding.bind(session, one, "/a")
    assert binding.release(held, one, "/a") == session
    assert binding.release(held, two, "/a") is None
    assert binding.release(held, one, "/b") is None
    assert binding.release(other, one, "/a") is None or other == held
    assert SessionBinding(b"another").release(held, one, "/a") is None


@given(st.text())
def test_any_query_is_looked_at(query: str) -> None:
    assert has_query_token(query) in (True, False)
