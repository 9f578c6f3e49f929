"""A copy of the door to the stack (deploy/stack.sh) among programs that only write down how they were called."""

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECORDER = '#!/bin/sh\necho "$(basename "$0") $*" >> "$CALLS"\n'


class Door:
    """A copy of deploy/stack.sh among programs that only write down how they were called."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls = root / "calls"
        (root / "deploy").mkdir()
        shutil.copy(ROOT / "deploy" / "stack.sh", root / "deploy" / "stack.sh")
        self.program(".venv/bin/python", RECORDER)
        self.program("bin/make", RECORDER)

    def program(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text, encoding="utf-8")
        (self.root / name).chmod(0o755)

    def docker(self, *, runs: bool = True, containers: str = "", states: str = "", up_fails: bool = False) -> None:
        ends = [f'case "$*" in "ps --all --quiet --filter label="*working_dir={self.root}) echo "{containers}";;']
        ends += [f'"compose ps --all --format"*) printf "{states}";;']
        ends += [f'"compose up"*) exit {int(up_fails)};;', f"*) exit {int(not runs)};; esac\n"]
        self.program("bin/docker", RECORDER + " ".join(ends))

    def run_natively_already(self) -> None:
        (self.root / ".lookout/native/run").mkdir(parents=True)
        (self.root / ".lookout/native/run/exporter.json").write_text("{}", encoding="utf-8")

    def open(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        variables = {"PATH": f"{self.root / 'bin'}:/usr/bin:/bin", "CALLS": str(self.calls), **environ}
        command = ["sh", str(self.root / "deploy/stack.sh"), *arguments]
        return subprocess.run(command, env=variables, capture_output=True, text=True)

    def called(self, start: str) -> list[str]:
        lines = self.calls.read_text(encoding="utf-8").splitlines() if self.calls.exists() else []
        return [line for line in lines if line.startswith(start)]
