"""What the command lines of the demo services share: where to listen, where the others are, where secrets lie."""

import argparse
import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from contract import ports
from contract.config import ConfigError, Problem, exit_with

LEVELS = ("debug", "info", "warning", "error")


def parser(package: str, description: str, endpoint: str) -> argparse.ArgumentParser:
    """Return a parser with --host, --port, --check and --log-level; the port is the endpoint's of contract.ports."""
    made = argparse.ArgumentParser(prog=f"python -m {package}", description=description)
    made.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    made.add_argument("--port", type=int, default=port(endpoint), help="0 takes a free one (default: %(default)s)")
    made.add_argument("--check", action="store_true", help="say whether it could start, and end")
    made.add_argument("--log-level", default="info", choices=LEVELS, help="(default: %(default)s)")
    return made


def add_secrets(made: argparse.ArgumentParser) -> None:
    """Add --secrets, the folder that `python -m deploy.prepare` fills."""
    folder = Path(os.environ.get("LOOKOUT_SECRETS") or ".lookout/secrets")
    made.add_argument("--secrets", type=Path, default=folder, help="folder of secret files (default: %(default)s)")


def add_state(made: argparse.ArgumentParser, keeps: str) -> None:
    """Add --state, a folder that outlives the process."""
    made.add_argument("--state", type=Path, help=f"folder that keeps {keeps} (default: in memory only)")


def add_resource(made: argparse.ArgumentParser) -> None:
    """Add --resource, the audience of tokens for the sidecar."""
    own = f"http://localhost:{port('sidecar')}"
    made.add_argument("--resource", default=own, help="audience of the sidecar's tokens (default: %(default)s)")


def port(endpoint: str) -> int:
    """Return the endpoint's port, moved by its environment variable; exits with code 2 when that is not a port."""
    try:
        return ports.port(endpoint)
    except ValueError as error:
        exit_with(ConfigError([Problem("environment", 1, "", str(error), "give a number from 1 to 65535")]))


@contextlib.contextmanager
def listening(endpoint: str, host: str, number: int, option: str = "--port") -> Iterator[None]:
    """End the process with one line and code 1 when what is done inside cannot listen there.

    An empty `endpoint` is one that no environment variable moves.
    """
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        move = f"{ports.ENDPOINTS[endpoint].variable} or {option}" if endpoint else option
        raise SystemExit(f"cannot listen on {host}:{number}: {reason} (another port: {move})") from None


def local_url(endpoint: str) -> str:
    """Return where the endpoint listens on this machine."""
    return f"http://127.0.0.1:{port(endpoint)}"


def read_secrets(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Read secret files, stripped; raises ConfigError that names every missing or empty one."""
    found: dict[str, str] = {}
    problems = []
    for name in names:
        try:
            found[name] = (folder / name).read_text(encoding="utf-8").strip()
        except OSError as error:
            problems.append(_problem(folder / name, f"cannot be read: {error.strerror}"))
        else:
            if not found[name]:
                problems.append(_problem(folder / name, "is empty"))
    if problems:
        raise ConfigError(problems)
    return found


def _problem(path: Path, message: str) -> Problem:
    return Problem(str(path), 1, "", message, f"make it with: python -m deploy.prepare --secrets {path.parent}")
