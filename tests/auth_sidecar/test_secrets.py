"""No token, key or secret in a log, a metric, an error or the audit log: planted ones are searched for everywhere."""

import io
import json
import logging
from pathlib import Path

import aiohttp

from auth_sidecar.identity import new_key
from contract import log
from tests.auth_sidecar.cases import CASES
from tests.auth_sidecar.issuer import Idp, mint
from tests.auth_sidecar.sidecars import KEY, Start, call, post


async def test_planted_secrets_are_nowhere_to_be_found(start_sidecar: Start, idp: Idp, tmp_path: Path) -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    log.setup("sidecar", "debug", stream)
    try:
        key, digest = new_key("ci")
        sidecar = await start_sidecar(api_keys=[{"name": "ci", "digest": digest, "roles": ["agent_service"]}])
        planted = [mint(jti=f"planted-{number}") for number in range(3)] + [key, KEY]
        planted += [str(case.authorization()).split(" ")[-1] for case in CASES if case.authorization()]
        answers = []
        for secret in planted:
            answers.append(await post(sidecar, secret, call("search_knowledge"), Cookie=f"session={planted[0]}"))
            answers.append(await post(sidecar, None, call("x"), path=f"/kb/mcp?access_token={planted[1]}"))
        idp.status = 500
        await sidecar.sources["demo"].refresh()
        async with aiohttp.ClientSession() as session:
            metrics = await (await session.get(f"{sidecar.admin_url}/metrics")).text()
        audit = "".join(file.read_text() for file in (tmp_path / "audit").glob("*.jsonl"))
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    everything = stream.getvalue() + metrics + audit + json.dumps([str(answer) for answer in answers])
    assert "keys could not be fetched" in everything
    for secret in planted:
        signature = secret.rpartition(".")[2]
        assert len(secret) < 20 or secret not in everything
        assert len(signature) < 40 or signature not in everything
