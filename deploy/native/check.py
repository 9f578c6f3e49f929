"""Every configuration file, read by the program that will read it, with throw-away secrets."""

import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.native import packages
from deploy.native.layout import Layout
from deploy.native.runner import RunError


def check(root: Path) -> None:
    """Run each program's own check and print what it says; raises RunError when one refuses."""
    with tempfile.TemporaryDirectory(prefix="lookout-check-") as temporary:
        layout = Layout(Path(temporary) / "native", root)
        layout.write()
        refused = [name for name, command in commands(layout.etc) if not _accepts(name, command, layout.etc)]
    if refused:
        raise RunError(f"refused: {', '.join(refused)}")


def commands(etc: Path) -> list[tuple[str, list[str]]]:
    """Return (file, command that checks it)."""
    lookout = etc / "lookout"
    return [
        ("exporter.yaml", [sys.executable, "-m", "exporter", "--config", f"{lookout / 'exporter.yaml'}", "--check"]),
        ("sidecar.yaml", [sys.executable, "-m", "auth_sidecar", "--config", f"{lookout / 'sidecar.yaml'}", "--check"]),
        (
            "prometheus.yml",
            [f"{packages.locate('promtool')}", "check", "config", f"{etc / 'prometheus/prometheus.yml'}"],
        ),
        (
            "alertmanager.yml",
            [f"{packages.locate('amtool')}", "check-config", f"{etc / 'alertmanager/alertmanager.yml'}"],
        ),
    ]


def _accepts(name: str, command: list[str], etc: Path) -> bool:
    result = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    print(f"{name}: {'valid' if result.returncode == 0 else 'refused'}", flush=True)
    if result.returncode:
        print((result.stdout + result.stderr).replace(f"{etc}/", ""), flush=True)
    return result.returncode == 0
