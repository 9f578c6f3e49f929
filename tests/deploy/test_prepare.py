"""Secrets: random, private, kept, and the user's own first."""

import re
import stat
from pathlib import Path

import pytest

from deploy.prepare import GROUPS, OWN_LIST, SECRETS, SecretsError, main, prepare


def values(folder: Path) -> dict[str, str]:
    return {f.name: f.read_text(encoding="utf-8") for f in folder.iterdir() if f.name != OWN_LIST}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    return folder


def test_every_secret_is_made_with_its_shape(tmp_path: Path) -> None:
    prepare(tmp_path / "s")
    made = values(tmp_path / "s")
    assert set(made) == set(SECRETS)
    assert re.fullmatch(r"http://sink:9823/services/T[A-Z0-9]{10}/B[A-Z0-9]{10}/[A-Za-z0-9]{24}", made["slack_url"])
    assert re.fullmatch(r"[0-9a-f]{32}", made["pagerduty_routing_key"])
    assert all(
        re.fullmatch(r"[\w-]{43}", made[name]) for name in made if name.startswith(("idp_", "audit_", "incident_"))
    )


def test_no_two_secrets_and_no_two_machines_share_a_value(tmp_path: Path) -> None:
    prepare(tmp_path / "a")
    prepare(tmp_path / "b")
    everything = [*values(tmp_path / "a").values(), *values(tmp_path / "b").values()]
    assert len(set(everything)) == len(everything)


def test_secrets_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    prepare(tmp_path / "s")
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "s").iterdir()} == {0o600}
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700


def test_second_run_keeps_every_value(tmp_path: Path) -> None:
    prepare(tmp_path / "s")
    before = values(tmp_path / "s")
    assert prepare(tmp_path / "s") == []
    assert values(tmp_path / "s") == before


def test_only_what_is_missing_is_made(tmp_path: Path) -> None:
    prepare(tmp_path / "s")
    before = values(tmp_path / "s")
    (tmp_path / "s" / "audit_key").unlink()
    assert prepare(tmp_path / "s") == ["audit_key: random"]
    after = values(tmp_path / "s")
    assert after.pop("audit_key") != before.pop("audit_key")
    assert after == before


def test_own_secret_wins_over_a_random_one(tmp_path: Path, own: Path) -> None:
    prepare(tmp_path / "s")
    (own / "slack_url").write_text("https://hooks.example/mine\n", encoding="utf-8")
    assert prepare(tmp_path / "s", own) == ["slack_url: yours"]
    assert values(tmp_path / "s")["slack_url"] == "https://hooks.example/mine"


def test_own_secret_taken_away_is_not_used_any_longer(tmp_path: Path, own: Path) -> None:
    (own / "slack_url").write_text("https://hooks.example/mine", encoding="utf-8")
    (own / "teams_url").write_text("https://teams.example/mine", encoding="utf-8")
    prepare(tmp_path / "s", own)
    (own / "slack_url").unlink()
    (own / "teams_url").unlink()
    prepare(tmp_path / "s", own)
    now = values(tmp_path / "s")
    assert now["slack_url"].startswith("http://sink:9823/")
    assert "teams_url" not in now


def test_documentation_and_hidden_files_are_no_secrets(tmp_path: Path, own: Path) -> None:
    (own / "README.md").write_text("how", encoding="utf-8")
    (own / ".gitkeep").write_text("x", encoding="utf-8")
    prepare(tmp_path / "s", own)
    assert set(values(tmp_path / "s")) == set(SECRETS)


def test_empty_own_secret_is_refused_by_name(tmp_path: Path, own: Path) -> None:
    (own / "slack_url").write_text("\n", encoding="utf-8")
    with pytest.raises(SecretsError, match="slack_url is empty"):
        prepare(tmp_path / "s", own)


def test_split_gives_each_group_only_its_own(tmp_path: Path) -> None:
    prepare(tmp_path / "s", split=True)
    assert sorted(folder.name for folder in (tmp_path / "s").iterdir()) == sorted(GROUPS)
    assert set(values(tmp_path / "s" / "notify")) == {"slack_url", "pagerduty_routing_key", "incident_desk_token"}
    assert set(values(tmp_path / "s" / "sidecar")) == {"audit_key", "sidecar_admin_token"}
    assert all(name.startswith("idp_client_") for name in values(tmp_path / "s" / "clients"))


def test_a_secret_of_two_groups_is_the_same_in_both_and_stays(tmp_path: Path) -> None:
    prepare(tmp_path / "s", split=True)
    known = [values(tmp_path / "s" / group)["incident_desk_token"] for group in ("notify", "desk")]
    assert known[0] == known[1]
    (tmp_path / "s" / "desk" / "incident_desk_token").unlink()
    assert prepare(tmp_path / "s", split=True) == ["incident_desk_token: random"]
    assert values(tmp_path / "s" / "desk")["incident_desk_token"] == known[0]


def test_own_secret_of_another_name_reaches_receivers_and_exporter_but_not_the_sidecar(
    tmp_path: Path, own: Path
) -> None:
    (own / "teams_url").write_text("https://teams.example/mine", encoding="utf-8")
    prepare(tmp_path / "s", own, split=True)
    has_it = {group for group in GROUPS if "teams_url" in values(tmp_path / "s" / group)}
    assert has_it == {"notify", "clients"}


@pytest.mark.parametrize(("name", "group"), [("sidecar_tls_key", "sidecar"), ("acknowledge_token", "desk")])
def test_own_secret_of_the_sidecar_or_the_desk_reaches_it_alone(
    tmp_path: Path, own: Path, name: str, group: str
) -> None:
    (own / name).write_text("mine", encoding="utf-8")
    prepare(tmp_path / "s", own, split=True)
    assert [g for g in GROUPS if name in values(tmp_path / "s" / g)] == [group]


def test_command_line_prints_names_and_never_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--secrets", str(tmp_path / "s")]) == 0
    printed = capsys.readouterr().out
    assert "audit_key: random" in printed
    assert not any(value in printed for value in values(tmp_path / "s").values())


def test_command_line_says_when_the_folder_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert main(["--secrets", str(tmp_path / "file" / "s")]) == 1
    assert "cannot write" in capsys.readouterr().err
