"""A checkout whose configuration is the demo's, whatever the user has made of his own files."""

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "demo" / "config"
DEMO_FILES = ("exporter/exporter.yaml", "auth_sidecar/sidecar.yaml", "auth_sidecar/roles.yaml")
"""What a user is told to edit; the demo's own lie in demo/config."""
LINKED = ("alertmanager", "dashboards", "incident_desk", "rules")


def shipped(name: str) -> Path:
    """Return a file of the checkout as it is shipped: of what a user is told to edit, the demo's copy."""
    return DEMO / Path(name).name if name in DEMO_FILES else ROOT / name


def demo_checkout(folder: Path) -> Path:
    """Make what a run reads of a checkout, with the demo's configuration and without secrets of the user's own."""
    if folder.exists():
        return folder
    for name in DEMO_FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(shipped(name), folder / name)
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    return folder
