"""Who is who: several issuers, mapped claims, discovery, API keys, client certificates, and rights taken back."""

import json
import os
import ssl
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from auth_sidecar.__main__ import main
from auth_sidecar.identity import new_key
from tests.auth_sidecar import certificates
from tests.auth_sidecar.agents import Echo
from tests.auth_sidecar.issuer import ISSUER, Idp, ec_key, jwk, mint
from tests.auth_sidecar.sidecars import Start, call, post, records, samples


async def test_discovery_leads_to_the_keys(start_sidecar: Start, idp: Idp) -> None:
    idp.issuer = idp.url
    sidecar = await start_sidecar(issuers=[{"name": "found", "issuer": idp.url, "allow_http": True}])
    assert (await post(sidecar, mint(iss=idp.url), call("search_knowledge")))[0] == 200


async def test_a_discovery_document_of_another_issuer_gives_no_keys(
    start_sidecar: Start, idp: Idp, tmp_path: Path
) -> None:
    idp.issuer = "http://evil.test"
    sidecar = await start_sidecar(issuers=[{"name": "found", "issuer": idp.url, "allow_http": True}])
    assert (await post(sidecar, mint(iss=idp.url), call("search_knowledge")))[0] == 503
    assert records(tmp_path)[0]["reason"] == "keys_unavailable"


async def test_each_issuer_has_its_own_keys_algorithms_and_claims(
    start_sidecar: Start, idp: Idp, tmp_path: Path
) -> None:
    (tmp_path / "other.json").write_text(json.dumps({"keys": [jwk(ec_key("other"), "key-1")]}))
    claims = {"subject": "email", "roles": "realm_access.roles", "role_names": {"Ops": "workflow_operator"}}
    other = {"name": "other", "issuer": "https://other.test", "jwks_file": "other.json", "algorithms": ["ES256"]}
    demo = {"name": "demo", "issuer": ISSUER, "jwks_url": f"{idp.url}/jwks"}
    sidecar = await start_sidecar(issuers=[demo, {**other, "claims": claims}])
    mine: dict[str, Any] = {"iss": "https://other.test", "key": ec_key("other"), "algorithm": "ES256"}
    token = mint(**mine, email="ann@example.test", roles=None, realm_access={"roles": ["Ops"]})
    assert (await post(sidecar, token, call("create_plan")))[0] == 200
    assert (await post(sidecar, mint(**mine | {"iss": ISSUER}), call("create_plan")))[0] == 401
    assert (await post(sidecar, mint(iss="https://other.test"), call("create_plan")))[0] == 401
    first, second, third = records(tmp_path)
    assert (first["actor"], first["issuer"], first["role"]) == ("ann@example.test", "other", "workflow_operator")
    assert (second["reason"], third["reason"]) == ("algorithm_not_allowed", "algorithm_not_allowed")


async def test_an_api_key_counts_until_it_expires(start_sidecar: Start, tmp_path: Path) -> None:
    (good, digest), (old, old_digest) = new_key("ci"), new_key("old")
    keys = [
        {"name": "ci", "digest": digest, "roles": ["agent_service"]},
        {"name": "old", "digest": old_digest, "roles": ["agent_service"], "expires": "2020-01-01T00:00:00Z"},
    ]
    sidecar = await start_sidecar(api_keys=keys)
    assert (await post(sidecar, good, call("search_knowledge")))[0] == 200
    assert (await post(sidecar, good + "x", call("search_knowledge")))[0] == 401
    assert (await post(sidecar, old, call("search_knowledge")))[0] == 401
    found = [(record["reason"], record.get("actor"), record.get("auth_method")) for record in records(tmp_path)]
    assert found == [("ok", "ci", "api_key"), ("invalid_token", None, None), ("expired", None, None)]
    assert good not in "".join(path.read_text() for path in (tmp_path / "audit").glob("*.jsonl"))


async def test_a_client_certificate_is_an_identity(start_sidecar: Start, echo: Echo, tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    authority = certificates.authority(folder)
    server = certificates.issued(folder, "server", "DNS:localhost,IP:127.0.0.1")
    planner = certificates.issued(folder, "planner", "URI:spiffe://prod/agent/planner")
    nobody = certificates.issued(folder, "nobody", "URI:spiffe://prod/other,URI:spiffe://prod/agent/planner")
    tls = {
        "cert_file": str(server[0]), "key_file": str(server[1]), "client_ca_file": str(authority),
        "identities": [{"spiffe_id": "spiffe://prod/agent/*", "roles": ["agent_service"], "kind": "agent"}],
    }  # fmt: skip
    sidecar = await start_sidecar(tls=tls)
    assert sidecar.url.startswith("https://")
    statuses = []
    for pair in (planner, nobody, None):
        context = ssl.create_default_context(cafile=str(authority))
        if pair:
            context.load_cert_chain(*pair)
        async with aiohttp.ClientSession() as session:
            response = await session.post(f"{sidecar.url}/kb/mcp", json=call("search_knowledge"), ssl=context)
            statuses.append(response.status)
    assert statuses == [200, 401, 401]
    assert records(tmp_path)[0]["actor"] == "spiffe://prod/agent/planner"
    assert echo.seen[0]["headers"]["X-Auth-Method"] == "mtls"
    assert echo.seen[0]["headers"]["X-Forwarded-Proto"] == "https"


async def test_a_new_certificate_counts_after_a_reload(start_sidecar: Start, tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    authority = certificates.authority(folder)
    cert, key = certificates.issued(folder, "server", "DNS:localhost,IP:127.0.0.1")
    sidecar = await start_sidecar(tls={"cert_file": str(cert), "key_file": str(key)})
    host, port = sidecar.url.removeprefix("https://").split(":")

    def serial() -> str:
        return ssl.get_server_certificate((host, int(port)), ca_certs=str(authority))

    import asyncio

    before = await asyncio.to_thread(serial)
    certificates.issued(folder, "server", "DNS:localhost,IP:127.0.0.1")
    assert await asyncio.to_thread(serial) == before
    assert await sidecar.reloader.reload() == ()
    assert await asyncio.to_thread(serial) != before


@pytest.mark.parametrize(
    ("revocation", "is_revoked"),
    [
        ({"token_id": "token-1"}, True),
        ({"token_id": "token-2"}, False),
        ({"subject": "workflow-engine"}, True),
        ({"subject": "workflow-engine", "issuer": "other"}, False),
        ({"issued_before": 60}, True),
        ({"issued_before": -3600}, False),
        ({"subject": "somebody", "issued_before": 60}, False),
    ],
)
async def test_a_revoked_token_is_refused_although_it_was_verified_before(
    start_sidecar: Start, tmp_path: Path, revocation: dict[str, Any], is_revoked: bool
) -> None:
    sidecar = await start_sidecar(revocations_file="revoked.json")
    token = mint()
    assert (await post(sidecar, token, call("search_knowledge")))[0] == 200
    if "issued_before" in revocation:  # given in seconds from now
        revocation = {**revocation, "issued_before": time.time() + revocation["issued_before"]}
    async with aiohttp.ClientSession() as session:
        answer = await session.post(f"{sidecar.admin_url}/-/revocations", json=revocation)
        assert answer.status == 201
        assert await (await session.get(f"{sidecar.admin_url}/-/revocations")).json() == [revocation]
    assert (await post(sidecar, token, call("search_knowledge")))[0] == (401 if is_revoked else 200)
    assert records(tmp_path)[-1]["reason"] == ("revoked" if is_revoked else "ok")
    assert json.loads((tmp_path / "revoked.json").read_text()) == [revocation]
    assert samples(sidecar.registry, "mcp_auth_tokens_revoked") == 1


async def test_nobody_is_let_in_while_revocations_cannot_be_read(start_sidecar: Start, tmp_path: Path) -> None:
    file = tmp_path / "revoked.json"
    file.write_text("[]")
    sidecar = await start_sidecar(revocations_file="revoked.json")
    token = mint()
    assert (await post(sidecar, token, call("search_knowledge")))[0] == 200
    file.write_text("[{")
    sidecar.revocations.check()
    assert (await post(sidecar, token, call("search_knowledge")))[0] == 500
    file.write_text('[{"subject": "somebody"}]')
    sidecar.revocations.check()
    assert (await post(sidecar, token, call("search_knowledge")))[0] == 200
    os.remove(file)  # noqa: PTH107
    sidecar.revocations.check()
    assert (await post(sidecar, token, call("search_knowledge")))[0] == 500


async def test_a_form_of_a_foreign_web_page_revokes_nothing(start_sidecar: Start) -> None:
    sidecar = await start_sidecar()
    async with aiohttp.ClientSession() as session:
        answer = await session.post(f"{sidecar.admin_url}/-/revocations", data='{"token_id": "x"}')
        assert answer.status == 415
        assert (await session.post(f"{sidecar.admin_url}/-/revocations", json={})).status == 400


async def test_a_locked_out_client_may_still_use_a_token_that_was_good(start_sidecar: Start, tmp_path: Path) -> None:
    sidecar = await start_sidecar(limits={"lockout": {"failures": 3, "window": "1m", "duration": "1m"}})
    good = mint()
    assert (await post(sidecar, good, call("search_knowledge")))[0] == 200
    for _ in range(3):
        assert (await post(sidecar, "bad", call("search_knowledge")))[0] == 401
    status, headers, _ = await post(sidecar, mint(jti="another"), call("search_knowledge"))
    assert (status, headers["Retry-After"]) == (429, "60")
    assert (await post(sidecar, good, call("search_knowledge")))[0] == 200
    assert samples(sidecar.registry, "mcp_auth_locked_clients") == 1
    assert samples(sidecar.registry, "mcp_auth_lockouts_total") == 1
    assert [record["reason"] for record in records(tmp_path)][-2:] == ["locked_out", "ok"]


async def test_who_asks_too_often_waits(start_sidecar: Start) -> None:
    sidecar = await start_sidecar(limits={"rate": {"requests": 1, "per": "1h", "burst": 2}})
    statuses = [(await post(sidecar, mint(), call("search_knowledge")))[0] for _ in range(3)]
    assert statuses == [200, 200, 429]


async def test_explain_says_what_would_be_decided_and_why(
    start_sidecar: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import asyncio

    await start_sidecar()
    (tmp_path / "token").write_text(mint(roles=["workflow_manager", "Ops"]))
    words = ["explain", "--config", str(tmp_path / "sidecar.yaml"), "--token-file", str(tmp_path / "token")]
    allowed = await asyncio.to_thread(main, [*words, "--method", "tools/call", "--name", "create_plan"])
    told = capsys.readouterr().out
    assert allowed == 0
    assert "workflow_manager > workflow_operator: workflow:execute" in told
    assert "unknown: Ops" in told
    denied = await asyncio.to_thread(main, [*words, "--method", "tools/call", "--name", "search_knowledge"])
    assert denied == 1
    assert "denied: no_permission; needs knowledge:read; no role grants knowledge:read" in capsys.readouterr().out


def test_new_key_prints_a_key_and_its_entry(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new-key", "ci"]) == 0
    told = capsys.readouterr().out
    assert "mlk_ci_" in told
    assert "digest: 'sha256:" in told
