"""Where a native run keeps what: copies of the configuration files with this machine's addresses, data, logs, records.

Everything lies below one git-ignored folder; the committed files are read, never written.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from contract.config import PATHS_START_AT
from deploy.native.files import write_if_changed
from deploy.native.profile import without_profile
from deploy.native.translate import Translator
from deploy.prepare import OWN_LIST, groups_of, prepare

ROOT = Path(__file__).resolve().parents[2]
SPECIAL = "#[]{}*?\"'\\$:&|<>`\n\t"
"""What YAML, file patterns or a shell would read as something else than a part of a path."""
# (pattern below the repository, folder of the containers that it is mounted in)
SOURCES = (
    ("exporter/exporter.yaml", "lookout"),
    ("auth_sidecar/sidecar.yaml", "lookout"),
    ("auth_sidecar/roles.yaml", "lookout"),
    ("incident_desk/desk.yaml", "lookout"),
    ("rules/prometheus.yml", "prometheus"),
    ("rules/generated/*.yaml", "prometheus/rules"),
    ("alertmanager/generated/alertmanager.yml", "alertmanager"),
    ("alertmanager/templates/*.tmpl", "alertmanager/templates"),
    ("dashboards/provisioning/*/*.yaml", "grafana/provisioning"),
    ("dashboards/generated/*.json", "grafana/dashboards"),
)


SECRET = re.compile(r"(?<![\w./-])secrets/")
"""How our services' files name a secret of the checkout; a run hands these over together with the random ones."""
KEPT_IN = {"LOOKOUT_AUDIT_FOLDER": "audit", "LOOKOUT_DESK_FOLDER": "incidents", "LOOKOUT_SIDECAR_FOLDER": "sidecar"}
"""Folders of data by the variable that names them in a configuration file."""


@dataclass(frozen=True)
class Layout:
    """The folders of one native run."""

    state: Path
    root: Path = ROOT

    @property
    def etc(self) -> Path:
        """Configuration copies, one folder for each `/etc/<folder>` of the containers."""
        return self.state / "etc"

    @property
    def data(self) -> Path:
        """What the services keep, one folder for each."""
        return self.state / "data"

    @property
    def secrets(self) -> Path:
        """The secrets as the containers see them, made once and kept."""
        return self.state.parent / "secrets"

    def translator(self, environ: Mapping[str, str] = os.environ) -> Translator:
        """Return what turns names and folders of the containers into this machine's."""
        folders = {f"/etc/{name}": self.etc / name for name in ("lookout", "prometheus", "alertmanager", "grafana")}
        return Translator({**folders, "/var/lib/lookout": self.data}, environ)

    def write(self, environ: Mapping[str, str] = os.environ) -> list[str]:
        """Prepare the secrets and bring every copy up to date; return a line for each secret that changed.

        Raises SecretsError, and ValueError for a port variable that holds no port.
        """
        translate = self.translator(environ)
        changes = prepare(self.secrets, self.root / "secrets")
        self._begin_revocations()
        written = set(self._copies())
        for target, source in self._copies().items():
            text = translate(source.read_text(encoding="utf-8"))
            if target.parent == self.etc / "lookout":
                text = self._in_place(text, source.parent)
            elif source.name == "prometheus.yml":
                text = without_profile(text)
            write_if_changed(target, text, mode=_mode(source))
        for old in set(_files(self.etc)) - written:
            old.unlink()
        return changes

    def _begin_revocations(self) -> None:
        """Make the list of revocations, at the first start only: one that is lost must not become an empty one."""
        folder = self.data / "sidecar"
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True)
            write_if_changed(folder / "revocations.json", "[]\n", mode=0o600)

    def in_users_terms(self, text: str) -> str:
        """Return a message about copies with the names of the files that they are copies of."""
        names = {str(copy): source for copy, source in self._copies().items()}
        pattern = re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))))
        told = pattern.sub(lambda match: str(names[match[0]]), text)
        secrets = f"{self.etc / 'lookout' / 'secrets'}/"
        return told.replace(secrets, "secrets/").replace(f"{self.secrets}/", "secrets/").replace(f"{self.root}/", "")

    def _in_place(self, text: str, folder: Path) -> str:
        """Make the paths in one of our services' files mean the same as in its own folder; lines keep their numbers."""
        text = SECRET.sub(f"{self.etc / 'lookout' / 'secrets'}/", text)
        for variable, name in KEPT_IN.items():
            text = re.sub(rf"\$\{{{variable}(:-[^}}]*)?\}}", str(self.data / name), text)
        return f"{text.rstrip()}\n{PATHS_START_AT}{folder}\n"

    def _copies(self) -> dict[Path, Path]:
        """Return every copy with its source."""
        found = {}
        for pattern, folder in SOURCES:
            start = Path(pattern).parts.index("*") if "*" in Path(pattern).parts else len(Path(pattern).parts) - 1
            for source in sorted(self.root.glob(pattern)):
                found[self.etc / folder / Path(*source.relative_to(self.root).parts[start:])] = source
        for secret in sorted(self.secrets.iterdir()):
            if secret.name != OWN_LIST:
                found[self.etc / "lookout" / "secrets" / secret.name] = secret
                if "notify" in groups_of(secret.name):
                    found[self.etc / "alertmanager" / "secrets" / secret.name] = secret
        return found


def _mode(source: Path) -> int:
    return source.stat().st_mode & 0o777


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where everything of a native run lies: below LOOKOUT_STATE, else `.lookout` of this checkout.

    Raises ValueError for a path that would mean something else inside a configuration file.
    """
    folder = Path(environ.get("LOOKOUT_STATE") or ROOT / ".lookout").resolve() / "native"
    if found := sorted(set(str(folder)) & set(SPECIAL)):
        mend = "clone into another folder, or set LOOKOUT_STATE to one without it"
        raise ValueError(f"{folder}: configuration files cannot hold a path with {' '.join(found)}; {mend}")
    return folder
