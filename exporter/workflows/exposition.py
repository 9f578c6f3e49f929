"""Series of workflows, rendered from the latest readings."""

from collections.abc import Callable, Iterable, Iterator

from contract.instruments import SeriesBudget
from contract.metrics import CATALOGUE
from contract.vocabulary import HumanKind, RunOutcome
from exporter.exposition import header, histogram, sample
from exporter.workflows.document import Distribution, Waiting, Workflow

Labels = tuple[str, ...]
Values = Iterator[tuple[Labels, float]]
Distributions = Iterator[tuple[Labels, Distribution]]


def _runs(of: Workflow) -> Values:
    return (((of.name, outcome), of.runs.get(outcome, 0)) for outcome in RunOutcome)


def _human(of: Workflow, value: Callable[[Waiting], float]) -> Values:
    return (((of.name, kind), value(of.human.get(kind, Waiting()))) for kind in HumanKind)


def _last_success(of: Workflow) -> Values:
    if of.last_success_timestamp is not None:
        yield (of.name,), of.last_success_timestamp


_VALUES: dict[str, Callable[[Workflow], Values]] = {
    "mcp_workflow_runs_total": _runs,
    "mcp_workflow_runs_in_progress": lambda of: (((of.name, phase), held) for phase, held in of.in_progress.items()),
    "mcp_workflow_queue_depth": lambda of: iter([((of.name,), of.queue.depth)]),
    "mcp_workflow_queue_oldest_seconds": lambda of: iter([((of.name,), of.queue.oldest_seconds)]),
    "mcp_workflow_step_failures_total": lambda of: (((of.name, name), step.failed) for name, step in of.steps.items()),
    "mcp_workflow_human_pending": lambda of: _human(of, lambda waiting: waiting.pending),
    "mcp_workflow_human_oldest_wait_seconds": lambda of: _human(of, lambda waiting: waiting.oldest_seconds),
    "mcp_workflow_last_success_timestamp_seconds": _last_success,
}
_DISTRIBUTIONS: dict[str, Callable[[Workflow], Distributions]] = {
    "mcp_workflow_run_duration_seconds": lambda of: iter([((of.name,), of.duration_seconds)]),
    "mcp_workflow_iterations": lambda of: iter([((of.name,), of.iterations)]),
    "mcp_workflow_step_duration_seconds": lambda of: (
        ((of.name, name), step.duration_seconds) for name, step in of.steps.items()
    ),
}


def render(workflows: Iterable[Workflow], budget: SeriesBudget) -> str:
    """Return the series of all workflows, at most the budget's label sets a metric."""
    workflows = list(workflows)
    parts = []
    for name, values in _VALUES.items():
        lines = [sample(name, own, value) for of in workflows for own, value in values(of) if budget.admit(name, own)]
        parts += [header(name).decode(), *lines]
    for name, distributions in _DISTRIBUTIONS.items():
        found = ((own, held) for of in workflows for own, held in distributions(of) if budget.admit(name, own))
        parts += [header(name).decode(), *(_histogram(name, own, held) for own, held in found)]
    return "".join(parts)


def _histogram(name: str, own: Labels, held: Distribution) -> str:
    buckets = held.by_bound or {bound: 0.0 for bound in CATALOGUE[name].buckets if not held.count}
    return histogram(name, own, buckets, held.sum, held.count)
