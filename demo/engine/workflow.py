"""The workflow `pipeline_step`: a plan is made, checked, revised and approved; then code, in the same way."""

import logging
import time
from dataclasses import dataclass

from contract.tracing import Tracer, spanning
from contract.vocabulary import RunOutcome
from demo.engine.agents import Agents, CallFailed, Json
from demo.engine.goals import Goal
from demo.engine.reviewer import Decision, Reviewer
from demo.engine.statistics import Statistics

logger = logging.getLogger(__name__)

WORKFLOW = "pipeline_step"
MAX_ITERATIONS = 5
"""Validations that each phase may take."""


@dataclass
class Run:
    """One run under way."""

    number: int
    goal: Goal
    iterations: int = 0
    """The most that a phase took so far."""

    @property
    def run_id(self) -> str:
        """The run's name with the agents."""
        return f"run-{self.number}"


class Workflow:
    """Executes runs; one object serves all that are in flight."""

    def __init__(
        self, agents: Agents, reviewer: Reviewer, statistics: Statistics, tracer: Tracer | None = None
    ) -> None:
        self._agents = agents
        self._tracer = tracer
        self._reviewer = reviewer
        self._statistics = statistics

    async def execute(self, run: Run) -> RunOutcome:
        """Execute a run to its end, count it, and return how it ended; it never raises but for cancellation."""
        said = {"gen_ai__operation__name": "invoke_workflow", "gen_ai__workflow__name": WORKFLOW}
        with spanning(self._tracer, f"invoke_workflow {WORKFLOW}", **said) as span:
            outcome = await self._executed(run)
            if span and outcome is not RunOutcome.COMPLETED:
                span.attributes["error.type"], span.is_error = outcome.value, True
        return outcome

    async def _executed(self, run: Run) -> RunOutcome:
        began = time.monotonic()
        outcome = RunOutcome.CANCELLED
        try:
            outcome = await self._both_phases(run)
        except CallFailed as error:
            outcome = RunOutcome.FAILED
            logger.warning("run failed", extra={"run": run.run_id, "problem": str(error)})
        except TimeoutError:
            outcome = RunOutcome.TIMED_OUT
        except Exception:
            outcome = RunOutcome.FAILED
            logger.exception("run failed unexpectedly", extra={"run": run.run_id})
        finally:
            self._statistics.run_ended(outcome, time.monotonic() - began, run.iterations)
        logger.info("run ended", extra={"run": run.run_id, "outcome": outcome, "iterations": run.iterations})
        return outcome

    async def _both_phases(self, run: Run) -> RunOutcome:
        with self._statistics.phase("plan"):
            plan = await self._plan(run)
        if isinstance(plan, RunOutcome):
            return plan
        with self._statistics.phase("implementation"):
            code = await self._implement(run, plan)
            if isinstance(code, RunOutcome):
                return code
            await self._hand_over(run, code)
        return RunOutcome.COMPLETED

    async def _plan(self, run: Run) -> Json | RunOutcome:
        """Return an approved plan, or why there is none."""
        await self._begin(run, "plan")
        plan = await self._first_plan(run)
        reviews = 0
        for iteration in range(1, MAX_ITERATIONS + 1):
            run.iterations = max(run.iterations, iteration)
            with self._statistics.step("plan_validation"):
                verdict = await self._agents.call("validator", "validate_plan", {"plan": plan})
            feedback = ""
            if verdict["valid"]:
                reviews += 1
                with self._statistics.step("human_review"):
                    decision = await self._reviewer.review_plan(run.number, reviews)
                if decision is not Decision.CHANGE:
                    return plan if decision is Decision.APPROVE else RunOutcome.REJECTED
                feedback = await self._reviewer.feedback(run.number)
            if iteration < MAX_ITERATIONS:
                with self._statistics.step("plan_revision"):
                    change = {"plan": plan, "findings": verdict["findings"], "feedback": feedback}
                    plan = await self._agents.call("planner", "revise_plan", change)
        return RunOutcome.MAX_ITERATIONS

    async def _first_plan(self, run: Run) -> Json:
        goal = run.goal.text
        if run.goal.is_vague:
            goal = f"{goal} {await self._reviewer.clarification(run.number)}"
        with self._statistics.step("initial_planning"):
            known = await self._agents.call("knowledge_base", "search_knowledge", {"query": goal, "limit": 3})
            knowledge = [hit["title"] for hit in known["hits"]]
            return await self._agents.call("planner", "create_plan", {"goal": goal, "knowledge": knowledge})

    async def _implement(self, run: Run, plan: Json) -> Json | RunOutcome:
        """Return approved code, or why there is none."""
        await self._begin(run, "implementation")
        with self._statistics.step("code_implementation"):
            code = await self._agents.call("programmer", "write_code", {"plan": plan})
        for iteration in range(1, MAX_ITERATIONS + 1):
            run.iterations = max(run.iterations, iteration)
            with self._statistics.step("code_validation"):
                verdict = await self._agents.call("validator", "validate_code", {"code": code, "plan": plan})
            if verdict["valid"]:
                with self._statistics.step("final_review"):
                    decision = await self._reviewer.review_code(run.number)
                return code if decision is Decision.APPROVE else RunOutcome.REJECTED
            if iteration < MAX_ITERATIONS:
                with self._statistics.step("code_refinement"):
                    change = {"code": code, "findings": verdict["findings"]}
                    code = await self._agents.call("programmer", "refine_code", change)
        return RunOutcome.MAX_ITERATIONS

    async def _begin(self, run: Run, phase: str) -> None:
        note = {"run_id": run.run_id, "workflow": WORKFLOW, "phase": phase}
        await self._agents.call("orchestrator", "start_workflow", note)

    async def _hand_over(self, run: Run, code: Json) -> None:
        """Document the result, remember what was learnt, and see the run off."""
        await self._agents.call("documentation", "search_documents", {"query": run.goal.text, "limit": 3})
        document = {"title": run.goal.text, "text": code["source"]}
        await self._agents.call("documentation", "write_document", document)
        lesson = {"topic": run.goal.text, "statement": f"took {run.iterations} iterations"}
        await self._agents.call("knowledge_base", "store_knowledge", lesson)
        await self._agents.call("orchestrator", "workflow_status", {"run_id": run.run_id})
