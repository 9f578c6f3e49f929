"""What a request reaches besides what it names: completions and subscriptions ask for rights to the thing itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.auth_sidecar.agents import Echo
from tests.auth_sidecar.issuer import mint
from tests.auth_sidecar.sidecars import Start, post, records, samples

OPERATIONS = {
    "prompts": {"plan": "knowledge:read"},
    "resources": {"kb://*": "knowledge:read"},
    "methods": {"resources/subscribe": "authenticated"},
}
ARGUMENT = {"name": "a", "value": ""}
REACHES = [
    ("completion/complete", {"ref": {"type": "ref/prompt", "name": "plan"}, "argument": ARGUMENT}),
    ("completion/complete", {"ref": {"type": "ref/resource", "uri": "kb://{page}"}, "argument": ARGUMENT}),
    (
        "subscriptions/listen",
        {"notifications": {"toolsListChanged": True, "resourceSubscriptions": ["kb://1", "kb://2"]}},
    ),
    ("resources/subscribe", {"uri": "kb://1"}),
]


def message(method: str, params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


@pytest.mark.parametrize(("method", "params"), REACHES)
async def test_only_who_may_use_a_thing_may_hear_of_it(
    start_sidecar: Start, echo: Echo, tmp_path: Path, method: str, params: Any
) -> None:
    sidecar = await start_sidecar(operations=OPERATIONS)
    assert (await post(sidecar, mint(), message(method, params)))[0] == 200
    assert (await post(sidecar, mint(roles=[]), message(method, params)))[0] == 403
    unmapped = json.loads(json.dumps(params).replace("kb://2", "x://2").replace("kb://{", "x://{"))
    if method == "resources/subscribe" or unmapped == params:
        unmapped = json.loads(json.dumps(params).replace("kb://", "x://").replace('"plan"', '"other"'))
    assert (await post(sidecar, mint(), message(method, unmapped)))[0] == 403
    assert len(echo.seen) == 1
    told = [(record["method"], record["reason"]) for record in records(tmp_path)]
    assert told == [(method, "ok"), (method, "no_permission"), (method, "unmapped_operation")]
    assert {record.get("name") for record in records(tmp_path)[1:]} != {None}


async def test_news_that_name_nothing_are_for_everybody(start_sidecar: Start) -> None:
    sidecar = await start_sidecar(operations=OPERATIONS)
    for params in (
        {"notifications": {"toolsListChanged": True}},
        {},
        {"notifications": {"resourceSubscriptions": None}},
    ):
        assert (await post(sidecar, mint(roles=[]), message("subscriptions/listen", params)))[0] == 200


async def test_shadow_mode_counts_what_would_not_be_heard_of(start_sidecar: Start, echo: Echo) -> None:
    route = {"path": "/kb/mcp", "agent": "kb-1", "agent_type": "knowledge_base", "upstream": echo.url, "shadow": True}
    sidecar = await start_sidecar(operations=OPERATIONS, routes=[route])
    for method, params in REACHES:
        assert (await post(sidecar, mint(roles=[]), message(method, params)))[0] == 200
    assert samples(sidecar.registry, "mcp_auth_shadow_denials_total", reason="no_permission") == len(REACHES)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("completion/complete", {}),
        ("completion/complete", {"ref": {"type": "ref/other", "name": "plan"}}),
        ("completion/complete", {"ref": {"type": ["ref/prompt"], "name": "plan"}}),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": "plan", "Name": "other"}}),
        ("completion/complete", {"ref": {"type": "ref/prompt"}}),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": "plan"}, "Ref": {}}),
        ("subscriptions/listen", {"notifications": {"resourceSubscriptions": "kb://1"}}),
        ("subscriptions/listen", {"notifications": {"resourceSubscriptions": [1]}}),
        ("subscriptions/listen", {"notifications": {"resourceSubscriptions": ["kb://1"] * 1001}}),
        ("subscriptions/listen", {"notifications": {"resourcesubscriptions": ["kb://1"]}}),
        ("resources/subscribe", {"uri": ["kb://1"]}),
    ],
)
async def test_what_cannot_be_read_in_one_way_is_refused(
    start_sidecar: Start, echo: Echo, method: str, params: Any
) -> None:
    sidecar = await start_sidecar(operations=OPERATIONS)
    assert ((await post(sidecar, mint(), message(method, params)))[0], echo.seen) == (400, [])
