"""Commands that documentation shows run as written from a checkout: the program is named where it is, options exist."""

import importlib.util
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from deploy.native.packages import OFFERED
from deploy.native.services import TOOLS
from tests.checkout import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "secrets/README.md"]
PROGRAMS = ("python", "python3", "promtool", "amtool", "pytest")
WHERE = (".venv/bin/python", *(f"{OFFERED.relative_to(ROOT)}/{name}" for name in TOOLS))


def code(text: str) -> list[str]:
    """Return the lines of shell blocks, and inline code, of a page; a line that ends in a backslash goes on."""
    blocks = re.findall(r"^ *```(?:sh|console)\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    outside = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [*lines, *(" ".join(found.split()) for found in re.findall(r"`([^`]+)`", outside))]


def commands(text: str) -> list[str]:
    """Return what a page lets people run with one of the programs, outside of containers."""
    named = re.compile(rf"(?:^|(?<=[;|&(] )|(?<=\()|(?<=\| ))(?:[\w./-]*/)?(?:{'|'.join(PROGRAMS)})(?= [-\w])")
    return [
        line[found.start() :] for line in code(text) if "docker compose" not in line for found in named.finditer(line)
    ]


SHOWN = sorted({(page, line) for page in PAGES for line in commands(page.read_text(encoding="utf-8"))})


@cache
def help_of(module: str, words: tuple[str, ...]) -> str:
    command = [sys.executable, "-m", module, *words, "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("page", "line"), SHOWN, ids=lambda value: getattr(value, "stem", None))
def test_command_names_a_program_that_is_there_after_make(page: Path, line: str) -> None:
    assert line.split()[0] in WHERE, f"write .venv/bin/python -m ..., or one of {', '.join(WHERE[1:])}"


@pytest.mark.parametrize(
    ("page", "line"), [shown for shown in SHOWN if " -m " in shown[1]], ids=lambda value: getattr(value, "stem", None)
)
def test_module_and_options_of_a_command_exist(page: Path, line: str) -> None:
    command = re.split(r" [|#>&] ?| \|\| |;", line)[0]
    _, _, module, *words = shlex.split(command.replace("…", ""), comments=True)
    assert importlib.util.find_spec(module), module
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    if options and module != "pytest":
        known = help_of(module, tuple(words[: next(n for n, word in enumerate(words) if word.startswith("-"))]))
        assert [option for option in options if not re.search(rf"{option}\b", known)] == []


def test_commands_are_found() -> None:
    assert len(SHOWN) >= 20
