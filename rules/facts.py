"""What the lint knows beside the policy at hand: metrics, channels, dashboards, runbooks, objectives, the pack."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pydantic

from contract.config import ConfigError, ForeignModel, Problem, load
from rules import conventions, known_metrics, labels, promql, slos
from rules.known_metrics import Series
from rules.pack import Pack
from rules.policy import Policy


@dataclass(frozen=True)
class Board:
    """What of a dashboard a link can point to."""

    variables: frozenset[str]
    panels: frozenset[int]


@dataclass(frozen=True)
class Facts:
    """Everything that checks may look at."""

    pack: Pack
    metrics: Mapping[str, Series]
    channels: frozenset[str]
    boards: Mapping[str, Board]
    runbooks: frozenset[str]
    objectives: frozenset[str]

    @cached_property
    def _trees(self) -> dict[str, Any]:
        return {}

    def tree(self, policy: Policy) -> Any:
        """Return the parsed condition of a policy; raises ValueError when it is not PromQL."""
        if policy.name not in self._trees:
            self._trees[policy.name] = promql.parse(policy.terms.condition.expression())
        return self._trees[policy.name]

    def is_promql(self, policy: Policy) -> bool:
        """Whether the condition of a policy can be looked into; of one that cannot, its own check tells."""
        try:
            self.tree(policy)
        except ValueError:
            return False
        return True

    def labels_of(self, metric: str) -> frozenset[str]:
        """Return the labels of a metric, none for an unknown one."""
        known = self.metrics.get(metric)
        return known.labels if known else frozenset()

    def result_labels(self, policy: Policy) -> frozenset[str]:
        """Return the labels that the alerts of a policy have."""
        return labels.of(self.tree(policy), self.labels_of) | set(policy.labels()) | {"alertname"}

    def scrape_interval(self, metric: str) -> float:
        """Return how often a metric is scraped, in seconds."""
        known = self.metrics.get(metric)
        is_sidecar = known is not None and known.services == ("sidecar",)
        return conventions.SIDECAR_SCRAPE_INTERVAL_SECONDS if is_sidecar else conventions.SCRAPE_INTERVAL_SECONDS


class _Receivers(ForeignModel):
    """Of the receivers file the names alone; whether the rest of it is right, its own generator says."""

    channels: dict[str, Any]


class _Named(ForeignModel):
    name: str


class _Variables(ForeignModel):
    list: tuple[_Named, ...] = ()


class _Panel(ForeignModel):
    id: int | None = None


class _Dashboard(ForeignModel):
    uid: str
    templating: _Variables = _Variables()
    panels: tuple[_Panel, ...] = ()


def gather(pack: Pack, root: Path, objectives: Mapping[str, slos.Objective]) -> Facts:
    """Look everything up in the project's folders; raises ConfigError."""
    recorded = [rule for group in slos.groups(objectives) for rule in group["rules"]]
    boards = sorted((root / "dashboards/generated").glob("*.json"))
    return Facts(
        pack=pack,
        metrics=known_metrics.read(root / "rules/metrics.yaml", root / "rules/prometheus.yml", recorded),
        channels=frozenset(load(root / "alertmanager/receivers.yaml", _Receivers).config.channels),
        boards=dict(_board(_dashboard(file)) for file in boards),
        runbooks=frozenset(file.stem for file in (root / "docs/runbooks").glob("*.md")),
        objectives=frozenset(objectives),
    )


def _dashboard(file: Path) -> _Dashboard:
    """Read a dashboard; half a megabyte of them is read as JSON, which takes a tenth of the time of YAML."""
    mend = "write it anew: python -m dashboards"
    try:
        return _Dashboard.model_validate(json.loads(file.read_bytes()))
    except json.JSONDecodeError as error:
        found = [Problem(str(file), error.lineno, "", f"not JSON: {error.msg}", mend)]
    except pydantic.ValidationError as error:
        found = [
            Problem(str(file), 1, ".".join(map(str, each["loc"])), each["msg"].lower(), mend) for each in error.errors()
        ]
    except (OSError, ValueError, RecursionError) as error:
        found = [Problem(str(file), 1, "", f"cannot be read: {error}", mend)]
    raise ConfigError(found)


def _board(read: _Dashboard) -> tuple[str, Board]:
    panels = frozenset(panel.id for panel in read.panels if panel.id is not None)
    return read.uid, Board(frozenset(variable.name for variable in read.templating.list), panels)
