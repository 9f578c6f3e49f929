"""Images under the names that docker-compose.yml and the Dockerfile use, where no registry can be reached.

The real image is taken where it can be pulled. A stand-in is Debian: the base by debootstrap, the programs from their
packages. Grafana has no package, so its stand-in only answers the health check. Making a base needs root.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.native import apt
from deploy.native.packages import SUITE

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".lookout" / "rehearsal"
BASE_SUITE = "trixie"
BASE_PACKAGES = "python3,python3-venv,python3-pip,ca-certificates,netbase,busybox"
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")

# By the image's name without its tag: (Debian package, what the Dockerfile says after FROM).
PROGRAMS: Mapping[str, tuple[str, str]] = {
    "prom/prometheus": (
        "prometheus",
        'RUN install -d -o 65534 -g 65534 /prometheus\nWORKDIR /prometheus\nENTRYPOINT ["prometheus"]',
    ),
    "prom/alertmanager": (
        "prometheus-alertmanager",
        'RUN install -d -o 65534 -g 65534 /alertmanager\nWORKDIR /alertmanager\nENTRYPOINT ["prometheus-alertmanager"]',
    ),
    "prom/node-exporter": ("prometheus-node-exporter", 'ENTRYPOINT ["prometheus-node-exporter"]'),
}
GRAFANA = """\
RUN install -d -o 472 -g 0 /var/lib/grafana && mkdir -p /srv/api && echo '{"database": "ok"}' > /srv/api/health
ENTRYPOINT ["python3", "-m", "http.server", "3000", "--directory", "/srv"]
"""


def needed() -> list[str]:
    """Return the images of the compose file that are not built from this repository, and the Dockerfile's base."""
    images = subprocess.run(
        ["docker", "compose", "config", "--images"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    return [base_image(), *sorted({name for name in images if "/" in name})]


def base_image() -> str:
    found = re.search(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return found[1]


def provide(image: str) -> str:
    """Make the image available and return how: "there", "pulled" or "stand-in"."""
    if _runs("docker", "image", "inspect", image):
        return "there"
    if _runs("docker", "pull", "--quiet", image):
        return "pulled"
    _say(f"no registry has {image}: making a stand-in from Debian packages")
    if image == base_image():
        _make_base(image)
    else:
        _make_program(image, image.partition(":")[0])
    return "stand-in"


def _make_base(image: str) -> None:
    """Import a Debian with Python where the real image has it: below /usr/local."""
    root = STATE / "base"
    if not (root / "complete").exists():
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        command = [
            "debootstrap",
            "--variant=minbase",
            f"--include={BASE_PACKAGES}",
            BASE_SUITE,
            str(root),
            apt.mirror() or "",
        ]
        subprocess.run(command, check=True, stdout=sys.stderr)
        subprocess.run(["chroot", root, "python3", "-m", "venv", "/usr/local"], check=True)
        (root / "usr/local/bin/wget").symlink_to("/usr/bin/busybox")
        shutil.copy(CA_BUNDLE, root / CA_BUNDLE.relative_to("/"))  # a machine behind a proxy trusts that one too
        (root / "complete").touch()
    changes = [f"ENV SSL_CERT_FILE={CA_BUNDLE}", f"ENV PIP_CERT={CA_BUNDLE}", 'CMD ["python3"]']
    options = [word for change in changes for word in ("--change", change)]
    archive = ["tar", "--numeric-owner", "--exclude=./var/cache/apt/archives/*.deb", "-C", str(root), "-c", "."]
    with subprocess.Popen(archive, stdout=subprocess.PIPE) as packed:
        subprocess.run(["docker", "import", *options, "-", image], stdin=packed.stdout, check=True, stdout=sys.stderr)


def _make_program(image: str, name: str) -> None:
    folder = STATE / name.replace("/", "-")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "root").mkdir(parents=True)
    package, instructions = PROGRAMS.get(name, (None, GRAFANA))
    if package:
        configuration = apt.configure(folder / "apt", SUITE["new"], apt.mirror() or "")
        for archive in apt.download(configuration, [package], folder):
            apt.unpack(archive, folder / "root")
    text = f"FROM {base_image()}\nCOPY root /\n{instructions}\n"
    (folder / "Dockerfile").write_text(text, encoding="utf-8")
    (folder / ".dockerignore").write_text("*\n!root\n", encoding="utf-8")
    subprocess.run(["docker", "build", "--tag", image, folder], check=True, stdout=sys.stderr)


def _runs(*command: str) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0


def _say(text: str) -> None:
    print(f"rehearsal: {text}", file=sys.stderr, flush=True)
