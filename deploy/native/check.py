"""Every configuration file, read by the program that will read it, with throw-away secrets."""

import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.native import packages
from deploy.native.layout import Layout
from deploy.native.runner import RunError


def check(root: Path, *, only_ours: bool = False) -> None:
    """Run each program's own check (or only those of our services) and print what it says.

    Raises RunError when one refuses.
    """
    with tempfile.TemporaryDirectory(prefix="lookout-check-") as temporary:
        layout = Layout(Path(temporary) / "native", root)
        layout.write()
        chosen = ours(layout.etc) if only_ours else commands(layout.etc)
        refused = [name for name, command in chosen if not _accepts(name, command, layout)]
    if refused:
        raise RunError(f"refused: {', '.join(refused)}")


def commands(etc: Path) -> list[tuple[str, list[str]]]:
    """Return (file, command that checks it)."""
    return [
        *ours(etc),
        (
            "prometheus.yml",
            [f"{packages.locate('promtool')}", "check", "config", f"{etc / 'prometheus/prometheus.yml'}"],
        ),
        (
            "alertmanager.yml",
            [f"{packages.locate('amtool')}", "check-config", f"{etc / 'alertmanager/alertmanager.yml'}"],
        ),
    ]


def ours(etc: Path) -> list[tuple[str, list[str]]]:
    """Return the same for the files that our own services read; nothing is fetched for these."""
    files = {"exporter": "exporter.yaml", "auth_sidecar": "sidecar.yaml", "incident_desk": "desk.yaml"}
    return [
        (name, [sys.executable, "-m", package, "--config", f"{etc / 'lookout' / name}", "--check"])
        for package, name in files.items()
    ]


def _accepts(name: str, command: list[str], layout: Layout) -> bool:
    result = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    print(f"{name}: {'valid' if result.returncode == 0 else 'refused'}", flush=True)
    said = layout.in_users_terms(result.stdout + result.stderr).splitlines()
    for line in said if result.returncode else (line for line in said if line.startswith("warning: ")):
        print(line, flush=True)
    return result.returncode == 0
