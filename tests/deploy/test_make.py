"""The Makefile explains itself and passes on what it is given."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = sorted(set(re.findall(r"^\.PHONY: ([\w-]+)$", MAKEFILE, re.MULTILINE)))
PROMISED = {"up", "down", "test", "check", "generate", "demo-break", "demo-heal", "bench"}


def make(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        [shutil.which("make") or "make", *arguments], cwd=ROOT, env={**clean, **environ}, capture_output=True, text=True
    )


def test_bare_make_prints_every_target_with_one_line() -> None:
    lines = make().stdout.splitlines()
    assert sorted(line.split()[1] for line in lines) == TARGETS
    assert all(len(line.split()) > 3 and len(line) <= 120 for line in lines)


def test_promised_targets_are_there() -> None:
    assert set(TARGETS) >= PROMISED


def test_without_a_new_enough_python_make_says_what_to_do(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    old.chmod(0o755)
    for name in ("sh", "awk"):
        (tmp_path / name).symlink_to(shutil.which(name) or "")
    result = make("setup", f"VENV={tmp_path / 'venv'}", PATH=str(tmp_path), MAKEFLAGS="", SHELL="/bin/sh")
    assert result.returncode == 2
    assert "No Python 3.11 or newer found" in result.stderr
    assert "make PYTHON=/path/to/python3" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["demo-break"], 'stack.sh break "agent-down"'),
        (["demo-break", "FAULT=cpu"], 'stack.sh break "cpu"'),
        (["demo-heal"], "stack.sh heal \n"),
        (["demo-heal", "FAULT=cpu"], 'stack.sh heal "cpu"'),
    ],
)
def test_fault_is_passed_on(arguments: list[str], expected: str) -> None:
    assert expected in make("--dry-run", *arguments).stdout + "\n"


def test_all_tests_run_side_by_side_and_chosen_ones_in_order() -> None:
    assert "pytest --numprocesses=4 --dist=loadfile" in make("--dry-run", "test", "PYTEST=").stdout
    assert make("--dry-run", "test", "PYTEST=-k name --pdb").stdout.endswith("pytest -k name --pdb\n")


def test_clean_leaves_nothing_that_make_made() -> None:
    recipe = make("--dry-run", "clean", "VENV=.venv").stdout
    removed = set(recipe.splitlines()[-1].split()[2:])
    made = {".venv", ".venv.lock", ".lookout", "mcp_lookout.egg-info", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
    assert made <= removed
