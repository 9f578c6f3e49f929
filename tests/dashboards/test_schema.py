"""Dashboards against the types that Grafana publishes: the oldest release we name, the one of Compose, and the newest.

A property that a release does not know, or a value that it does not take, is an error of the TypeScript compiler.
"""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.dashboards.reading import GENERATED, NAMES, Json, board
from tests.tools import node_modules

RELEASES = ("11.0.0", "12.3.3", "13.2.3")
PACKAGES = ("typescript@5.9.3", *(f"schema-{release}@npm:@grafana/schema@{release}" for release in RELEASES))
SHAPE = Path(__file__).with_name("board.ts")
PANELS = ("bargauge", "heatmap", "stat", "statetimeline", "table", "timeseries")
MISTAKES = {
    '"graphMode"': '"graphsMode"',
    '"drawStyle": "bars"': '"drawStyle": "bar"',
    '"showHeader": true': '"showHeader": "yes"',
    '"graphTooltip": 1': '"graphTooltip": 3',
    '"sort": 1': '"sort": 99',
    '"type": "state-timeline"': '"type": "statetimeline"',
}
each_release = pytest.mark.parametrize("release", RELEASES)


def complaints(folder: Path, release: str, boards: Mapping[str, Json]) -> str:
    """Return what the compiler says against dashboards, one line each; empty where they are as the types want them."""
    modules = node_modules("grafana-schema", *PACKAGES)
    [index] = modules.glob(f"schema-{release}/dist/[et]*/index.d.ts")
    paths = {"@grafana/schema": [str(index)]}
    for panel in PANELS:
        paths[f"@grafana/panels/{panel}"] = [
            str(path) for path in index.parent.glob(f"raw/composable/{panel}/panelcfg/x/*types.gen.d.ts")
        ]
    shutil.copy(SHAPE, folder)
    for name, content in boards.items():
        text = (
            f'import type {{ Board }} from "./board";\nexport const board: Board = {json.dumps(content, indent=1)};\n'
        )
        (folder / f"{name}.ts").write_text(text, encoding="utf-8")
    options = {"strict": True, "noEmit": True, "skipLibCheck": True, "module": "esnext", "moduleResolution": "bundler"}
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": {**options, "types": [], "paths": paths}}))
    compiler = modules / ".bin" / "tsc"
    return subprocess.run([compiler, "-p", folder], stdout=subprocess.PIPE, text=True, cwd=folder, check=False).stdout


def test_the_release_of_compose_is_among_those_that_are_tried() -> None:
    services = yaml.safe_load(Path("docker-compose.yml").read_text(encoding="utf-8"))["services"]
    assert services["grafana"]["image"] in {f"grafana/grafana:{release}" for release in RELEASES}


@each_release
def test_every_dashboard_has_the_types_of_the_release(tmp_path: Path, release: str) -> None:
    assert complaints(tmp_path, release, {name: board(name) for name in NAMES}) == ""


@each_release
def test_a_property_or_a_value_that_the_release_does_not_know_is_an_error(tmp_path: Path, release: str) -> None:
    text = (GENERATED / "agents.json").read_text(encoding="utf-8")
    assert all(text.count(right) for right in MISTAKES)
    boards = {
        f"mistake{number}": json.loads(text.replace(right, wrong, 1))
        for number, (right, wrong) in enumerate(MISTAKES.items())
    }
    told = complaints(tmp_path, release, boards)
    for name in boards:
        assert f"{name}.ts(" in told
