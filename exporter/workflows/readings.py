"""What workflow engines last told: a bad reading keeps the last good one, and a window of readings judges health."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from contract.instruments import Instruments, SeriesBudget
from contract.vocabulary import RunOutcome
from exporter.config import WorkflowSource
from exporter.exposition import header, sample
from exporter.workflows import exposition
from exporter.workflows.document import Statistics, Workflow

logger = logging.getLogger(__name__)

Counts = Mapping[RunOutcome, float]


@dataclass
class Reading:
    """The state of one source."""

    source: WorkflowSource
    statistics: Statistics | None = None
    read_at: float = 0.0
    """When the statistics were read, in Unix time; 0 for never."""
    problem: str = "not read yet"
    """Why the last reading failed, empty when it did not."""
    history: dict[str, deque[tuple[float, Counts]]] = field(default_factory=dict)

    @property
    def is_up(self) -> bool:
        """Whether the last reading succeeded."""
        return not self.problem


class Readings:
    """All sources by name."""

    def __init__(self, instruments: Instruments, clock: Callable[[], float] = time.time) -> None:
        self.by_source: dict[str, Reading] = {}
        self.clock = clock
        self._instruments = instruments
        self._window = 0.0
        self._cap = 0

    def configure(self, sources: Mapping[str, WorkflowSource], window: float, cap: int) -> None:
        """Read exactly these sources from now on; unchanged ones keep what they told."""
        before, self._window, self._cap = self.by_source, window, cap
        kept = {name: known for name, known in before.items() if sources.get(name) == known.source}
        self.by_source = {name: kept.get(name) or Reading(source) for name, source in sources.items()}

    def record(self, name: str, told: Statistics | str) -> None:
        """Take what a source told, or why it could not be read."""
        reading = self.by_source.get(name)
        if reading is None:
            return
        problem = told if isinstance(told, str) else ""
        if problem != reading.problem:
            extra = {"source": name, "problem": problem}
            logger.log(logging.WARNING if problem else logging.INFO, "workflow source changed state", extra=extra)
        reading.problem = problem
        if isinstance(told, Statistics):
            reading.statistics, reading.read_at = told, self.clock()
            self._remember(reading, told)

    def has_been_read(self) -> bool:
        """Whether any source has ever told its statistics."""
        return any(reading.statistics is not None for reading in self.by_source.values())

    def workflows(self) -> Iterator[tuple[Reading, Workflow]]:
        """Yield every workflow with its source; of two with one name the first source's counts."""
        seen: set[str] = set()
        for reading in self.by_source.values():
            for workflow in reading.statistics.workflows if reading.statistics else ():
                if workflow.name not in seen:
                    seen.add(workflow.name)
                    yield reading, workflow

    def window(self) -> dict[str, Counts | None]:
        """Return how the runs of every workflow ended lately, None where the engine cannot be read.

        A source that has never been read stands for its workflows.
        """
        unread = {name: None for name, reading in self.by_source.items() if reading.statistics is None}
        known = {of.name: self.window_counts(read, of) if read.is_up else None for read, of in self.workflows()}
        return {**unread, **known}

    def window_counts(self, reading: Reading, workflow: Workflow) -> Counts:
        """Return how the runs of the window ended; until we have watched for a window, all runs the engine knows of."""
        total = dict.fromkeys(RunOutcome, 0.0)
        for (_, before), (_, after) in pairwise(reading.history.get(workflow.name, ())):
            for outcome in RunOutcome:
                old, new = before.get(outcome, 0), after.get(outcome, 0)
                total[outcome] += new - old if new >= old else new
        return total

    def exposition(self) -> bytes:
        """Render every source's state and every workflow's last good reading."""
        dropped = self._instruments.counter("mcp_series_dropped_total")
        budget = SeriesBudget(dropped, self._instruments.service, self._cap)
        up = [sample("mcp_workflow_source_up", (name,), read.is_up) for name, read in self.by_source.items()]
        workflows = exposition.render((workflow for _, workflow in self.workflows()), budget)
        return header("mcp_workflow_source_up") + "".join(up).encode() + workflows.encode()

    def _remember(self, reading: Reading, told: Statistics) -> None:
        """Keep the window's counts, and the last ones before it as what they are compared with."""
        now = reading.read_at
        gone = reading.history.keys() - {workflow.name for workflow in told.workflows}
        for name in gone:
            del reading.history[name]
        for workflow in told.workflows:
            history = reading.history.setdefault(workflow.name, deque([(now, {})]))
            history.append((now, workflow.runs))
            while len(history) > 1 and history[1][0] <= now - self._window:
                history.popleft()
