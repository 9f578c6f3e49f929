"""The engine with real agents and a real identity provider; a router that checks tokens stands for the sidecar."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import web

from contract.vocabulary import HumanKind, RunOutcome
from contract.web import Server, serve
from demo.agents.conduct import Conduct
from demo.agents.fleet import Agent, build, names
from demo.engine import agents as pool
from demo.engine.__main__ import addresses
from demo.engine.agents import Agents, CallFailed
from demo.engine.goals import CHANGED_EVERY, HOPELESS_EVERY, REJECTED_EVERY, VAGUE_EVERY, goal
from demo.engine.reviewer import DEADLINE_SECONDS, Reviewer
from demo.engine.scheduler import Scheduler, until_ready
from demo.engine.statistics import Statistics
from demo.engine.tokens import NoToken, TokenSource
from demo.engine.workflow import MAX_ITERATIONS, Run, Workflow
from demo.idp.app import public_app
from demo.idp.clients import Registry, registered
from demo.idp.keys import KeyRing
from demo.idp.provider import Provider
from tests.demo.conftest import until

RESOURCE = "http://localhost:9819"
SCALE, PROMPT = 360.0, 0.001
"""An hour is ten seconds and people answer within a few milliseconds: a busy machine makes nobody late."""
HASTY, LATE = 36_000.0, 3.0
"""An hour is a tenth of a second, and people answer after three of them."""


class Door:
    """Routes /<agent>/mcp to the agents for bearers of a token that the provider signed."""

    def __init__(self, fleet: list[Agent], provider: Provider, session: aiohttp.ClientSession) -> None:
        self.ports = {agent.name: agent.listener.port for agent in fleet}
        self.calls: Counter[str] = Counter()
        self.refuse_next = 0
        self._provider = provider
        self._session = session

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/{agent}/mcp", self.route)
        return app

    def is_good(self, token: str) -> bool:
        keys = jwt.PyJWKSet.from_dict(self._provider.keys.published()).keys
        issuer = self._provider.issuer
        try:
            jwt.decode(token, keys[0], algorithms=["RS256"], audience=RESOURCE, issuer=issuer)
        except jwt.PyJWTError:
            return False
        return True

    async def route(self, request: web.Request) -> web.Response:
        agent = request.match_info["agent"]
        self.calls[agent] += 1
        token = request.headers["Authorization"].removeprefix("Bearer ")
        if self.refuse_next > 0 or not self.is_good(token):
            self.refuse_next -= 1
            return web.Response(status=401)
        headers = {name: value for name, value in request.headers.items() if name.lower().startswith(("mcp-", "acc"))}
        url = f"http://127.0.0.1:{self.ports[agent]}/mcp"
        try:
            async with self._session.post(url, json=await request.json(), headers=headers) as response:
                return web.Response(status=response.status, text=await response.text(), content_type="application/json")
        except aiohttp.ClientError:
            return web.Response(status=502)


class Stack:
    """Everything an engine needs, and a workflow over it."""

    def __init__(self, fleet: list[Agent], conduct: Conduct, provider: Provider, idp: Server, door: Door) -> None:
        self.fleet = {agent.name: agent for agent in fleet}
        self.conduct = conduct
        self.provider = provider
        self.idp = idp
        self.door = door
        self.statistics = Statistics("pipeline_step")

    def start(self, session: aiohttp.ClientSession, door: Server) -> None:
        token_url = f"{self.idp.url}/token"
        self.tokens = TokenSource(session, token_url, "workflow-engine", "engine secret: +/=%&", RESOURCE)
        self.agents = Agents(session, self.tokens, addresses(door.url), seconds=5)

    def workflow(self, share: float = PROMPT, time_scale: float = SCALE) -> Workflow:
        return Workflow(self.agents, Reviewer(self.statistics, time_scale, share), self.statistics)

    async def run(self, number: int, **reviewer: float) -> tuple[RunOutcome, Run]:
        run = Run(number, goal(number))
        return await self.workflow(**reviewer).execute(run), run

    def counts(self) -> dict[str, Any]:
        found: dict[str, Any] = self.statistics.document()["workflows"][0]
        return found


@pytest.fixture
async def stack(secrets: Path, session: aiohttp.ClientSession) -> AsyncIterator[Stack]:
    conduct = Conduct()
    fleet = build(conduct, "127.0.0.1", [0] * len(names()))
    await asyncio.gather(*(agent.listener.open() for agent in fleet))
    provider = Provider("", Registry(registered(secrets, RESOURCE)), KeyRing())
    idp = await serve(public_app(provider))
    provider.issuer = idp.url
    door = Door(fleet, provider, session)
    server = await serve(door.app())
    stack = Stack(fleet, conduct, provider, idp, door)
    stack.start(session, server)
    yield stack
    await server.close()
    await idp.close()
    await asyncio.gather(*(agent.listener.close() for agent in fleet))


def usual() -> int:
    """Return the number of a run without any peculiarity."""
    periods = (REJECTED_EVERY, VAGUE_EVERY, CHANGED_EVERY)
    return next(n for n in range(1, 100) if all(n % period for period in periods) and n % HOPELESS_EVERY != 25)


async def test_a_usual_run_completes_through_all_its_steps(stack: Stack) -> None:
    outcome, run = await stack.run(usual())
    assert outcome is RunOutcome.COMPLETED
    assert 1 < run.iterations <= MAX_ITERATIONS
    found = stack.counts()
    counts = {step: facts["duration_seconds"]["count"] for step, facts in found["steps"].items()}
    assert all(counts.values()), counts
    assert not any(facts["failed"] for facts in found["steps"].values())
    assert found["runs"]["completed"] == 1
    assert found["in_progress"] == {"plan": 0, "implementation": 0}
    assert {agent.rpartition("-")[0] for agent in stack.door.calls} == {name.rpartition("-")[0] for name in names()}


async def test_a_rejected_review_rejects_the_run(stack: Stack) -> None:
    outcome, _ = await stack.run(REJECTED_EVERY)
    assert outcome is RunOutcome.REJECTED


async def test_a_goal_with_too_many_parts_ends_at_the_limit_of_iterations(stack: Stack) -> None:
    outcome, run = await stack.run(HOPELESS_EVERY // 2)
    assert (outcome, run.iterations) == (RunOutcome.MAX_ITERATIONS, MAX_ITERATIONS)


async def test_feedback_and_clarification_are_waited_for(stack: Stack) -> None:
    kinds: Counter[HumanKind] = Counter()
    count = stack.statistics.waiting_for

    def counted(kind: HumanKind) -> Any:
        kinds[kind] += 1
        return count(kind)

    stack.statistics.waiting_for = counted  # type: ignore[method-assign]
    assert (await stack.run(CHANGED_EVERY * VAGUE_EVERY))[0] is RunOutcome.COMPLETED
    assert kinds == {HumanKind.APPROVAL: 3, HumanKind.FEEDBACK: 1, HumanKind.CLARIFICATION: 1}


async def test_a_person_who_is_too_late_times_the_run_out(stack: Stack) -> None:
    outcome, _ = await stack.run(usual(), share=LATE, time_scale=HASTY)
    assert outcome is RunOutcome.TIMED_OUT
    assert stack.counts()["steps"]["human_review"]["failed"] == 1
    assert stack.counts()["human"]["approval"]["pending"] == 0


def test_deadlines_are_an_hour_half_an_hour_and_a_quarter() -> None:
    assert [DEADLINE_SECONDS[kind] for kind in HumanKind] == [3600, 1800, 900]


async def test_one_agent_down_fails_no_run(stack: Stack) -> None:
    await stack.fleet["planner-2"].listener.close()
    await stack.fleet["validator-1"].listener.close()
    assert [(await stack.run(number))[0] for number in (1, 2, 3)] == [RunOutcome.COMPLETED] * 3
    assert stack.door.calls["planner-2"] == 1, "it is left alone for a while after the first failure"


async def test_an_agent_that_is_back_gets_its_turns_again(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "FIRST_PAUSE_SECONDS", 0.05)
    await stack.fleet["planner-2"].listener.close()
    await stack.run(usual())
    await stack.fleet["planner-2"].listener.open()
    before = stack.door.calls["planner-2"]
    await asyncio.sleep(0.1)  # the pause itself is what is tested
    assert (await stack.run(usual()))[0] is RunOutcome.COMPLETED
    assert stack.door.calls["planner-2"] > before + 1


async def test_both_agents_of_a_type_down_fail_the_run_and_the_step(stack: Stack) -> None:
    for name in ("programmer-1", "programmer-2"):
        await stack.fleet[name].listener.close()
    outcome, _ = await stack.run(usual())
    assert outcome is RunOutcome.FAILED
    assert stack.counts()["steps"]["code_implementation"]["failed"] == 1


async def test_tool_errors_at_the_rate_of_the_fault_fail_no_run(stack: Stack) -> None:
    stack.conduct.fail_every = 4
    assert [(await stack.run(number))[0] for number in (1, 2, 3, 4)] == [RunOutcome.COMPLETED] * 4


async def test_an_agent_on_pause_is_not_tried_because_the_other_fails_now_and_then(stack: Stack) -> None:
    await stack.fleet["planner-2"].listener.close()
    stack.conduct.fail_every = 4
    assert [(await stack.run(number))[0] for number in (1, 2, 3, 4)] == [RunOutcome.COMPLETED] * 4
    assert stack.door.calls["planner-2"] == 1


async def test_tools_that_always_fail_fail_the_run(stack: Stack) -> None:
    stack.conduct.fail_every = 1
    assert (await stack.run(usual()))[0] is RunOutcome.FAILED


async def test_absurd_validators_end_every_run_at_the_limit(stack: Stack) -> None:
    stack.conduct.is_absurd = True
    assert {(await stack.run(number))[0] for number in (1, 2)} == {RunOutcome.MAX_ITERATIONS}


async def test_a_token_serves_many_calls_and_survives_the_issuer(stack: Stack) -> None:
    assert (await stack.run(usual()))[0] is RunOutcome.COMPLETED
    first = await stack.tokens.current()
    await stack.idp.close()
    assert (await stack.run(usual()))[0] is RunOutcome.COMPLETED
    assert await stack.tokens.current() == first


async def test_without_a_token_runs_fail_and_nobody_is_called(stack: Stack) -> None:
    await stack.idp.close()
    assert (await stack.run(usual()))[0] is RunOutcome.FAILED
    assert stack.door.calls.total() == 0


async def test_a_refused_token_is_replaced_at_once(stack: Stack) -> None:
    before = await stack.tokens.current()
    stack.door.refuse_next = 1
    assert (await stack.run(usual()))[0] is RunOutcome.COMPLETED
    assert await stack.tokens.current() != before


async def test_a_rotated_key_fails_no_run(stack: Stack) -> None:
    assert (await stack.run(usual()))[0] is RunOutcome.COMPLETED
    stack.provider.keys.rotate()
    assert (await stack.run(usual()))[0] is RunOutcome.COMPLETED


async def test_a_token_is_renewed_before_it_expires(session: aiohttp.ClientSession) -> None:
    given: list[str] = []

    async def token(_request: web.Request) -> web.Response:
        given.append(f"token-{len(given) + 1}")
        return web.json_response({"access_token": given[-1], "expires_in": 0.4})

    app = web.Application()
    app.router.add_post("/token", token)
    server = await serve(app)
    source = TokenSource(session, f"{server.url}/token", "c", "s", RESOURCE)
    assert await asyncio.gather(*(source.current() for _ in range(5))) == ["token-1"] * 5
    await asyncio.sleep(0.32)  # three quarters of its life
    assert await source.current() == "token-2"
    await server.close()
    source.discard("token-1")
    assert await source.current() == "token-2", "an old token says nothing about the current one"
    source.discard("token-2")
    with pytest.raises(NoToken):
        await source.current()


async def test_a_token_at_hand_serves_while_its_renewal_fails(session: aiohttp.ClientSession) -> None:
    asked = 0

    async def token(_request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise web.HTTPServiceUnavailable
        return web.json_response({"access_token": "token-1", "expires_in": 0.8})

    app = web.Application()
    app.router.add_post("/token", token)
    server = await serve(app)
    source = TokenSource(session, f"{server.url}/token", "c", "s", RESOURCE)
    await source.current()
    await asyncio.sleep(0.62)  # three quarters of its life
    assert [await source.current() for _ in range(3)] == ["token-1"] * 3
    assert asked == 2, "a failed renewal is not tried again at every call"
    await server.close()


async def test_an_error_of_the_engine_itself_fails_the_run_and_is_logged(
    stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_arguments: object) -> None:
        raise ZeroDivisionError("a bug")

    stack.agents.call = broken  # type: ignore[assignment,method-assign]
    assert (await stack.run(usual()))[0] is RunOutcome.FAILED
    assert "a bug" in caplog.text


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"access_token": "x", "expires_in": "soon"}'])
async def test_an_issuer_that_answers_nonsense_gives_no_token(session: aiohttp.ClientSession, answer: bytes) -> None:
    async def token(_request: web.Request) -> web.Response:
        return web.Response(body=answer, content_type="application/json")

    app = web.Application()
    app.router.add_post("/token", token)
    server = await serve(app)
    with pytest.raises(NoToken):
        await TokenSource(session, f"{server.url}/token", "c", "s", RESOURCE).current()
    await server.close()


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"<html>"), (200, b"\xff"), (200, b'{"result": {}}'), (403, b"no"), (500, b"")]
)
async def test_whatever_a_sidecar_answers_a_call_fails_in_one_way(
    stack: Stack, session: aiohttp.ClientSession, status: int, body: bytes
) -> None:
    async def nonsense(_request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, content_type="application/json")

    app = web.Application()
    app.router.add_post("/{agent}/mcp", nonsense)
    server = await serve(app)
    agents = Agents(session, stack.tokens, addresses(server.url))
    with pytest.raises(CallFailed):
        await agents.call("planner", "create_plan", {"goal": "a"})
    await server.close()


async def test_a_hanging_agent_costs_no_more_than_the_time_of_a_call(
    stack: Stack, session: aiohttp.ClientSession
) -> None:
    stack.conduct.delay_seconds = dict.fromkeys(names(), 0.5)
    stack.agents._timeout = aiohttp.ClientTimeout(total=0.1)
    began = time.monotonic()
    with pytest.raises(CallFailed):
        await stack.agents.call("planner", "create_plan", {"goal": "a"})
    assert time.monotonic() - began < 3
    assert session.closed is False


async def test_the_scheduler_runs_several_at_once_and_cancels_them_at_the_end(stack: Stack) -> None:
    scheduler = Scheduler(
        stack.workflow(share=0.1, time_scale=1.0), stack.statistics, interval_seconds=0.01, concurrency=3
    )
    working = asyncio.create_task(scheduler.run())
    await until(lambda: stack.counts()["human"]["approval"]["pending"] == 3)
    await until(lambda: stack.counts()["queue"]["depth"] > 2)
    assert stack.counts()["in_progress"]["plan"] == 3
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert stack.counts()["runs"]["cancelled"] == 3
    assert stack.counts()["in_progress"] == {"plan": 0, "implementation": 0}


async def test_the_queue_is_bounded(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo.engine.scheduler.QUEUE_LIMIT", 3)
    slow = stack.workflow(share=0.1, time_scale=1.0)
    scheduler = Scheduler(slow, stack.statistics, interval_seconds=0.001, concurrency=0)
    working = asyncio.create_task(scheduler.run())
    await until(lambda: stack.counts()["queue"]["depth"] == 3)
    await asyncio.sleep(0.05)
    assert stack.counts()["queue"]["depth"] == 3
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


async def test_the_engine_waits_until_the_agents_can_be_called(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demo.engine.scheduler.READY_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(pool, "FIRST_PAUSE_SECONDS", 0.01)
    for name in ("documentation-1", "documentation-2"):
        await stack.fleet[name].listener.close()
    waiting = asyncio.create_task(until_ready(stack.agents))
    await until(lambda: stack.door.calls["documentation-1"] > 1)
    assert not waiting.done()
    await stack.fleet["documentation-1"].listener.open()
    await asyncio.wait_for(waiting, 5)


def test_the_shares_of_failing_runs_stay_well_below_a_tenth_in_every_stretch() -> None:
    """Judge every stretch of 35 runs, about five minutes, as the alert does: rejected runs do not count against it."""
    hopeless = [number % HOPELESS_EVERY == HOPELESS_EVERY // 2 for number in range(1, 1000)]
    rejected = [number % REJECTED_EVERY == 0 for number in range(1, 1000)]
    for start in range(1000 - 35):
        assert sum(hopeless[start : start + 35]) <= 1
        assert sum(rejected[start : start + 35]) <= 1
    assert (sum(hopeless) + sum(rejected)) / 999 < 0.05


def test_goals_are_the_same_in_every_demo() -> None:
    assert goal(3) == goal(3)
    assert goal(VAGUE_EVERY).is_vague
    assert len(goal(HOPELESS_EVERY // 2).text.split(",")) > 8
    assert max(len(goal(n).text.split(",")) for n in range(1, 200) if n % HOPELESS_EVERY != HOPELESS_EVERY // 2) <= 5
