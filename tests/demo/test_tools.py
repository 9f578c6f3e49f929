"""The agents' tools as functions: what they build, what they find, what they mend."""

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp.server.mcpserver.exceptions import ToolError

from demo.agents.library import Library
from demo.agents.orchestrator import Orchestrator
from demo.agents.planner import VERIFICATION, create_plan, revise_plan
from demo.agents.plans import MAX_STEPS, Code, Finding, Plan, Step
from demo.agents.programmer import function_name, refine_code, write_code
from demo.agents.validator import validate_code, validate_plan


def good_plan() -> Plan:
    steps = [
        Step(id="step-1", title="load", acceptance="shown"),
        Step(id="step-2", title="save", acceptance="shown", depends_on=["step-1"]),
        Step(id="step-3", title=VERIFICATION, acceptance="shown", depends_on=["step-1", "step-2"]),
    ]
    return Plan(goal="load and save", requirements=["load", "save"], steps=steps)


def rules(plan: Plan) -> list[tuple[str, str]]:
    return [(finding.rule, finding.where) for finding in validate_plan(plan).findings]


def test_a_goal_is_cut_into_steps_in_its_order() -> None:
    plan = create_plan("load the data, clean it and then  save it; save it")
    assert plan.requirements == ["load the data", "clean it", "save it"]
    assert [step.depends_on for step in plan.steps] == [[], ["step-1"], ["step-2"]]


def test_a_good_plan_has_no_findings() -> None:
    assert validate_plan(good_plan()).valid


def test_each_rule_of_plans_finds_its_breach() -> None:
    plan = good_plan()
    plan.requirements.append("publish")
    plan.steps[0].depends_on = ["step-2", "nowhere"]
    plan.steps[1].acceptance = ""
    plan.steps[1].id = "step-1"
    del plan.steps[2]
    found = [("coverage", "publish"), ("unique", "step-1"), ("dependency", "step-1"), ("acceptance", "step-1")]
    assert rules(plan)[:2] == found[:2]
    assert {("dependency", "step-1"), ("acceptance", "step-1"), ("verification", "plan")} <= set(rules(plan))
    assert ("verification", "plan") in rules(Plan(goal="", requirements=[], steps=[]))


def test_a_dependency_on_itself_is_found() -> None:
    plan = good_plan()
    plan.steps[0].depends_on = ["step-1"]
    assert rules(plan) == [("dependency", "step-1")]


def test_a_revision_mends_two_findings_and_leaves_its_argument_alone() -> None:
    plan = create_plan("a, b, c, d")
    before = plan.model_copy(deep=True)
    revised = revise_plan(plan, validate_plan(plan).findings)
    assert len(validate_plan(plan).findings) - len(validate_plan(revised).findings) == 2
    assert (plan, revised.revision) == (before, 2)


def test_every_kind_of_finding_can_be_mended() -> None:
    plan = good_plan()
    plan.requirements.append("publish")
    plan.steps[0].depends_on = ["nowhere"]
    plan.steps[1].acceptance = ""
    for _ in range(4):
        plan = revise_plan(plan, validate_plan(plan).findings)
    assert validate_plan(plan).valid


def test_feedback_becomes_a_step_before_the_verification() -> None:
    revised = revise_plan(good_plan(), [], "mask personal data")
    assert [step.title for step in revised.steps] == ["load", "save", "mask personal data", VERIFICATION]
    assert validate_plan(revised).valid


def test_findings_about_what_is_not_there_change_nothing() -> None:
    findings = [Finding(rule="acceptance", where="nowhere", message=""), Finding(rule="no_rule", where="", message="")]
    assert revise_plan(good_plan(), findings).steps == good_plan().steps


@pytest.mark.parametrize(("parts", "iterations"), [(1, 2), (2, 2), (3, 3), (4, 3), (5, 4), (12, 7)])
def test_more_parts_take_more_iterations(parts: int, iterations: int) -> None:
    plan = create_plan(", ".join(f"part {number}" for number in range(parts)))
    needed = 1
    while not (verdict := validate_plan(plan)).valid:
        plan = revise_plan(plan, verdict.findings)
        needed += 1
    assert needed == iterations


@settings(deadline=None, max_examples=30)
@given(st.text(max_size=60))
def test_any_goal_becomes_a_plan_that_can_be_made_valid_and_programmed(goal: str) -> None:
    plan = create_plan(goal)
    while not (judged := validate_plan(plan)).valid:
        plan = revise_plan(plan, judged.findings)
        assert plan.revision <= MAX_STEPS
    code = write_code(plan)
    while not (judged := validate_code(code, plan)).valid:
        code = refine_code(code, judged.findings)
        assert code.revision <= MAX_STEPS


def test_code_has_a_documented_function_for_each_step_when_it_is_refined() -> None:
    plan = create_plan("a one, b two, c three, d four, e five")
    code = write_code(plan)
    first = validate_code(code, plan)
    assert {finding.rule for finding in first.findings} == {"docstring", "annotation", "bare_except"}
    refined = refine_code(code, first.findings)
    assert len(validate_code(refined, plan).findings) == len(first.findings) - 3
    while not (verdict := validate_code(code, plan)).valid:
        code = refine_code(code, verdict.findings)
    functions = [node.name for node in ast.parse(code.source).body if isinstance(node, ast.FunctionDef)]
    assert functions == ["a_one", "b_two", "c_three", "d_four", "e_five"]


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("def f(:", "syntax"),
        ("x = '\x00'", "syntax"),
        ("def f():\n    'Doc.'", "annotation"),
        ("def f() -> None:\n    pass", "docstring"),
        ("try:\n    x = 1\nexcept:\n    pass", "bare_except"),
        ("eval('1')", "forbidden_call"),
        ("def f() -> None:\n    'Doc.'\n    exec('1')", "forbidden_call"),
        ("x = 1", "function"),
    ],
)
def test_each_rule_of_code_finds_its_breach(source: str, rule: str) -> None:
    plan = Plan(goal="f", requirements=["f"], steps=[Step(id="step-1", title="f")])
    assert rule in {finding.rule for finding in validate_code(Code(source=source), plan).findings}


def test_code_is_read_and_never_run() -> None:
    verdict = validate_code(Code(source="raise SystemExit('ran')"))
    assert verdict.valid


def test_a_missing_function_is_added() -> None:
    plan = create_plan("load")
    code = Code(source="x = 1")
    for _ in range(3):
        code = refine_code(code, validate_code(code, plan).findings)
    assert validate_code(code, plan).valid


def test_what_cannot_be_programmed_or_refined_is_a_tool_error() -> None:
    with pytest.raises(ToolError, match="without steps"):
        write_code(Plan(goal="", requirements=[], steps=[]))
    with pytest.raises(ToolError, match="does not parse"):
        refine_code(Code(source="def"), [])


@pytest.mark.parametrize(
    ("title", "name"),
    [("Load the data!", "load_the_data"), ("2 copies", "step_2_copies"), ("class", "step_class"), ("日本", "step")],
)
def test_titles_become_names_of_functions(title: str, name: str) -> None:
    assert function_name(title) == name


def test_a_library_finds_by_words_best_first_and_forgets_the_oldest() -> None:
    library = Library("doc", capacity=2)
    library.write_document("Old", "sales by week")
    library.write_document("Sales", "sales by customer and week")
    assert library.write_document("Refunds", "refunds by week").texts == 2
    hits = library.search_documents("sales per customer").hits
    assert [(hit.title, hit.score) for hit in hits] == [("Sales", 0.667)]
    assert len(library.search_documents("week", limit=1).hits) == 1
    assert library.search_documents("a b").hits == []


def test_the_same_title_replaces_its_text_and_keeps_its_id() -> None:
    library = Library("doc")
    first = library.store_knowledge("Sales", "monday")
    second = library.store_knowledge("Sales", "tuesday")
    assert (second.id, second.texts) == (first.id, 1)
    assert library.search_knowledge("monday").hits == []


def test_the_orchestrator_forgets_the_oldest_run() -> None:
    orchestrator = Orchestrator()
    for number in range(1001):
        orchestrator.start_workflow(f"run-{number}", "w")
    assert not orchestrator.workflow_status("run-0").known
    assert orchestrator.workflow_status("run-1000").known
