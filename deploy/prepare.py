"""The secrets of the stack, made before anything starts: random where missing, the user's own copied over them.

`python -m deploy.prepare --secrets DIR [--own secrets/] [--split]`. Nothing has a default password; each value lives in
a file that only its owner reads. With `--split` each group has its folder, so that a container mounts only what is its.
"""

import argparse
import os
import secrets
import string
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from contract.ports import ENDPOINTS

ALPHABET = string.ascii_letters + string.digits


class SecretsError(Exception):
    """A secret cannot be read or written; the message says which, and what to do."""


class Secret(NamedTuple):
    """One secret: which groups of services may read it, and how a random one is made."""

    groups: tuple[str, ...]
    make: Callable[[], str]


def _letters(count: int, alphabet: str = ALPHABET) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(count))


def _slack_url() -> str:
    """Return a webhook address in Slack's shape (workspace, channel, token) that points at the sink."""
    sink = ENDPOINTS["sink"]
    upper = string.ascii_uppercase + string.digits
    return f"http://{sink.host}:{sink.port}/services/T{_letters(10, upper)}/B{_letters(10, upper)}/{_letters(24)}"


def _random_32_bytes() -> str:
    return secrets.token_urlsafe(32)


SECRETS: Mapping[str, Secret] = {
    "slack_url": Secret(("notify",), _slack_url),
    "pagerduty_routing_key": Secret(("notify",), lambda: secrets.token_hex(16)),
    "audit_key": Secret(("sidecar",), _random_32_bytes),
    "sidecar_admin_token": Secret(("sidecar",), _random_32_bytes),
    # Alertmanager shows it, the incident desk knows it by it.
    "incident_desk_token": Secret(("notify", "desk"), _random_32_bytes),
    "idp_client_workflow_engine": Secret(("clients",), _random_32_bytes),
    "idp_client_exporter": Secret(("clients",), _random_32_bytes),
    "idp_client_intruder": Secret(("clients",), _random_32_bytes),
}
GROUPS = ("notify", "sidecar", "clients", "desk")
OWN_GROUPS = {"sidecar_": ("sidecar",), "acknowledge_": ("desk",), "": ("notify", "clients")}
"""Who reads a secret of the user's own, by what its name begins with: else a receiver, or the exporter for an agent."""
OWN_LIST = ".own"
"""File beside the secrets that names the user's own, so that one taken away does not stay in use."""


def prepare(folder: Path, own: Path | None = None, *, split: bool = False) -> list[str]:
    """Create what is missing in the folder, copy the user's own files over it, and return a line for each change.

    Raises SecretsError when a file cannot be read or written.
    """
    values = _own_files(own)
    folders = {group: folder / group if split else folder for group in GROUPS}
    try:
        shared = _shared(folders, values)
        changes = [line for group in GROUPS for line in _prepare(folders[group], group, values, shared)]
    except OSError as error:
        raise SecretsError(f"cannot write {error.filename}: {error.strerror}") from error
    return list(dict.fromkeys(changes))


def groups_of(name: str) -> tuple[str, ...]:
    """Return the groups of services that read a secret, ours or the user's own."""
    if name in SECRETS:
        return SECRETS[name].groups
    return next(groups for start, groups in OWN_GROUPS.items() if name.startswith(start))


def _shared(folders: Mapping[str, Path], own: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets of several groups, which must be the same in each: as one of them has it, else new."""
    found = {}
    for name, secret in SECRETS.items():
        if len(secret.groups) > 1:
            places = [folders[group] for group in secret.groups if name not in _no_longer_own(folders[group], own)]
            known = [(place / name).read_text(encoding="utf-8") for place in places if (place / name).exists()]
            found[name] = known[0] if known else secret.make()
    return found


def _prepare(folder: Path, group: str, own: Mapping[str, str], shared: Mapping[str, str]) -> Iterator[str]:
    """Bring one group's secrets up to date."""
    ours = {name for name, secret in SECRETS.items() if group in secret.groups}
    mine = {name: own[name] for name in own if group in groups_of(name)}
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in _no_longer_own(folder, own):
        (folder / name).unlink(missing_ok=True)
        yield f"{name}: yours is gone"
    for name in sorted(ours | set(mine)):
        if name in mine:
            kind, value = "yours", mine[name]
        elif name in shared:
            kind, value = "random", shared[name]
        elif not (folder / name).exists():
            kind, value = "random", SECRETS[name].make()
        else:
            continue
        if _write(folder / name, value):
            yield f"{name}: {kind}"
    _write(folder / OWN_LIST, "\n".join(sorted(own)))


def _no_longer_own(folder: Path, own: Mapping[str, str]) -> list[str]:
    listed = folder / OWN_LIST
    before = listed.read_text(encoding="utf-8").split("\n") if listed.exists() else []
    return [name for name in before if name and name not in own]


def _own_files(folder: Path | None) -> dict[str, str]:
    """Read the user's own secrets; documentation and hidden files in the folder are not secrets."""
    if folder is None or not folder.is_dir():
        return {}
    try:
        found = sorted(folder.iterdir())
    except PermissionError as error:
        raise SecretsError(f"{folder} cannot be listed by user {os.getuid()}, as which the stack runs") from error
    files = [f for f in found if f.is_file() and f.suffix != ".md" and not f.name.startswith(".")]
    return {file.name: _read(file) for file in files}


def _read(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8").strip()
    except PermissionError as error:
        user = os.getuid()
        mend = f"setfacl -m u:{user}:r {file.name}, or chown {user} {file.name}"
        raise SecretsError(f"{file} cannot be read by user {user}, as which the stack runs ({mend})") from error
    if not text:
        raise SecretsError(f"{file} is empty (put the secret into it, or remove the file)")
    return text


def _write(file: Path, value: str) -> bool:
    """Write a secret so that only its owner can ever read it; tell whether that changed anything."""
    if file.exists() and file.read_text(encoding="utf-8") == value:
        return False
    temporary = file.with_name(f".{file.name}.new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as handle:
        handle.write(value)
    temporary.replace(file)
    return True


def main(arguments: list[str] | None = None) -> int:
    """Prepare the secrets and print what changed, never a value."""
    parser = argparse.ArgumentParser(prog="deploy.prepare", description=__doc__)
    parser.add_argument("--secrets", type=Path, required=True, metavar="DIR", help="where the services read them")
    parser.add_argument("--own", type=Path, metavar="DIR", help="the user's own, copied over the random ones")
    parser.add_argument("--split", action="store_true", help=f"one folder a group: {', '.join(GROUPS)}")
    options = parser.parse_args(arguments)
    try:
        changes = prepare(options.secrets, options.own, split=options.split)
    except SecretsError as error:
        print(f"prepare: {error}", file=sys.stderr)
        return 1
    for line in changes or ["nothing to do"]:
        print(f"prepare: {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
