"""What a user writes into a configuration file and puts beside it is found by the copy that a native run reads."""

import json
import shutil
from pathlib import Path

import pytest

from auth_sidecar.config import load as load_sidecar
from contract.config import PATHS_START_AT, Model, load_text
from contract.fields import RelativePath, SecretFile
from deploy.native.check import check
from deploy.native.layout import Layout
from deploy.native.runner import RunError
from exporter.config_check import load as load_exporter
from exporter.file_sd import TargetFiles
from exporter.tool_pins import pins_text
from incident_desk.config import load_settings as load_desk
from tests.checkout import shipped
from tests.exporter.certificates import self_signed

EXPORTER = """
file_sd:
  - {files: [targets/*.json]}
pinned_tools: pins.json
credentials:
  mine: {token_file: secrets/planner_token}
defaults: {ca_file: certificates/ca.pem, credentials: mine}
"""


class Paths(Model):
    """Two kinds of path that a configuration file names."""

    beside: RelativePath = Path()
    secret: SecretFile | None = None


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The configuration files of a checkout, with things beside them."""
    root = tmp_path / "checkout"
    for name in (
        *("exporter/exporter.yaml", "auth_sidecar/sidecar.yaml", "auth_sidecar/roles.yaml"),
        *("incident_desk/desk.yaml", "rules/escalation.yaml"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(shipped(name), root / name)
    for folder in ("exporter/certificates", "exporter/targets", "secrets"):
        (root / folder).mkdir()
    (root / "exporter/exporter.yaml").write_text(EXPORTER)
    self_signed(root / "exporter/certificates")
    target = {"targets": ["10.0.0.7:9000"], "labels": {"agent": "p", "agent_type": "planner"}}
    (root / "exporter/targets/w.json").write_text(json.dumps([target]))
    (root / "exporter/pins.json").write_text(pins_text({}))
    (root / "secrets/planner_token").write_text("mine")
    (root / "secrets/planner_token").chmod(0o600)
    return root


def written(tmp_path: Path, root: Path) -> Path:
    """Write the copies of a native run and return their folder."""
    layout = Layout(tmp_path / "state" / "native", root)
    layout.write({})
    return layout.etc / "lookout"


def test_native_exporter_finds_what_lies_beside_the_user_s_file(tmp_path: Path, checkout: Path) -> None:
    loaded = load_exporter(written(tmp_path, checkout) / "exporter.yaml")
    assert loaded.warnings == ()
    assert loaded.config.pinned_tools == checkout / "exporter/pins.json"
    assert loaded.config.defaults.ca_file == checkout / "exporter/certificates/ca.pem"
    files = TargetFiles(loaded.config)
    assert [target.name for target in files.scan()] == ["p"]
    assert files.states() == {f"{checkout}/exporter/targets/*.json": True}


def test_native_exporter_reads_secrets_as_they_are_handed_over(tmp_path: Path, checkout: Path) -> None:
    etc = written(tmp_path, checkout)
    (token,) = load_exporter(etc / "exporter.yaml").config.credentials.values()
    assert token.token_file.path == etc / "secrets/planner_token"  # type: ignore[union-attr]


def test_native_sidecar_and_desk_find_what_lies_beside_the_user_s_files(tmp_path: Path, checkout: Path) -> None:
    sidecar = checkout / "auth_sidecar/sidecar.yaml"
    text = sidecar.read_text().replace("roles_file: roles.yaml", "roles_file: roles/mine.yaml")
    sidecar.write_text(text.replace("jwks_url: http://idp:9824/jwks", "jwks_file: keys/jwks.json"))
    (checkout / "auth_sidecar/roles").mkdir()
    (checkout / "auth_sidecar/roles.yaml").rename(checkout / "auth_sidecar/roles/mine.yaml")
    (checkout / "auth_sidecar/keys").mkdir()
    (checkout / "auth_sidecar/keys/jwks.json").write_text('{"keys": []}')
    etc = written(tmp_path, checkout)
    (issuer,) = load_sidecar(etc / "sidecar.yaml").config.sidecar.issuers
    assert issuer.jwks_file == checkout / "auth_sidecar/keys/jwks.json"
    assert load_desk(etc / "desk.yaml").config.desk.escalation == checkout / "rules/escalation.yaml"


def test_check_config_speaks_of_the_user_s_folders(
    tmp_path: Path, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "exporter/exporter.yaml").write_text(EXPORTER.replace("targets/*", "tragets/*"))
    check(checkout, only_ours=True)
    assert capsys.readouterr().out.splitlines() == [
        "exporter.yaml: valid",
        "warning: exporter/exporter.yaml:1: file_sd: exporter/tragets/*.json: no file fits this pattern yet "
        "(relative paths start at the folder of the configuration file)",
        "sidecar.yaml: valid",
        "desk.yaml: valid",
    ]
    (checkout / "exporter/exporter.yaml").write_text(EXPORTER.replace("ca.pem", "none.pem").replace("_token", "_tok"))
    with pytest.raises(RunError):
        check(checkout, only_ours=True)
    refused = capsys.readouterr().out
    assert "defaults.ca_file: exporter/certificates/none.pem is no file of CA certificates" in refused
    assert "credentials.mine.token_file: secret file secrets/planner_tok: No such file" in refused


def test_paths_of_a_copy_start_where_its_last_line_says() -> None:
    text = f"beside: ../a/b.pem\n{PATHS_START_AT}/srv/checkout/exporter\n"
    assert load_text(text, Path("/state/x.yaml"), Paths).config.beside == Path("/srv/checkout/a/b.pem")
    assert load_text("beside: b.pem\n", Path("/state/x.yaml"), Paths).config.beside == Path("/state/b.pem")


def test_secrets_folder_may_lie_beside_the_folder_of_the_file_as_in_a_container(tmp_path: Path) -> None:
    for folder in ("exporter", "secrets"):
        (tmp_path / folder).mkdir()
    (tmp_path / "secrets/token").write_text("handed over")
    file = tmp_path / "exporter/exporter.yaml"
    secret = load_text("secret: secrets/token\n", file, Paths).config.secret
    assert secret is not None
    assert secret.path == tmp_path / "secrets/token"
    (tmp_path / "exporter/secrets").mkdir()
    (tmp_path / "exporter/secrets/token").write_text("beside")
    nearer = load_text("secret: secrets/token\n", file, Paths).config.secret
    assert nearer is not None
    assert nearer.read() == "beside"
