"""Command line of the sidecar: `python -m auth_sidecar --config FILE [--check]`, and the commands below COMMANDS."""

import argparse
import asyncio
import logging
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from auth_sidecar import audit_commands, explain
from auth_sidecar.app import Sidecar
from auth_sidecar.config import load
from auth_sidecar.identity import new_key
from auth_sidecar.supervisor import Supervisor
from auth_sidecar.worker import process_registry, spare_collector
from contract import log, tracing, tracing_settings
from contract.config import ConfigError, exit_with
from contract.tracing import Tracer
from contract.web import on_hangup, run

logger = logging.getLogger("auth_sidecar")


def main(arguments: list[str] | None = None) -> int:
    """Run the sidecar or a command; 2 means that the configuration is not usable."""
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] in COMMANDS:
        return COMMANDS[words[0]](words[1:])
    options = _parser().parse_args(words)
    try:
        loaded = load(options.config)
        of_tracing = tracing_settings.questionable()
    except ConfigError as error:
        exit_with(error)
    if options.check:
        for warning in (*loaded.warnings, *of_tracing):
            print(f"warning: {warning}")
        config = loaded.config
        print(f"{options.config}: fine; {len(config.sidecar.routes)} routes, {len(config.policy.roles)} roles")
        return 0
    log.setup("sidecar", loaded.config.sidecar.log_level)
    workers = loaded.config.sidecar.workers
    # Several workers trace by themselves; their supervisor answers nobody.
    tracer = tracing.setup("sidecar") if workers == 1 else None
    try:
        allow_connections()
        run(lambda stop: _serve(options, workers, tracer, stop))
    except OSError as error:
        print(f"the sidecar cannot start: {error}", file=sys.stderr)
        return 1
    finally:
        if tracer:
            tracer.close()
    return 0


def allow_connections() -> None:
    """Take all the open files that this process may have: each connection is one, and often two."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _serve(options: argparse.Namespace, workers: int, tracer: Tracer | None, stop: asyncio.Event) -> None:
    registry = process_registry()
    sidecar = Supervisor(options.config, registry) if workers > 1 else Sidecar(options.config, registry, tracer=tracer)
    await sidecar.start(host=options.host, port=options.port, admin_host=options.host, admin_port=options.admin_port)
    spare_collector()
    on_hangup(sidecar.reloader.reload)
    logger.info("listening", extra={"url": sidecar.url, "admin_url": sidecar.admin_url})
    await stop.wait()
    logger.info("draining")
    await sidecar.close()


def _new_key(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="auth_sidecar new-key", description="Make an API key for a service account.")
    parser.add_argument("name", help="name of the account")
    key, digest = new_key(parser.parse_args(arguments).name)
    print(f"# give this to the service; it is shown only now:\n{key}")
    print(
        f"# and put this into sidecar.yaml, below api_keys:\n- {{name: {arguments[0]}, digest: '{digest}', roles: []}}"
    )
    return 0


COMMANDS: Mapping[str, Callable[[list[str]], int]] = {
    "audit": audit_commands.main,
    "explain": explain.main,
    "new-key": _new_key,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="auth_sidecar", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="sidecar.yaml")
    parser.add_argument("--check", action="store_true", help="say what is wrong with the configuration, and end")
    parser.add_argument("--host", help="address of both ports; the configuration's otherwise")
    parser.add_argument("--port", type=int, metavar="N", help="traffic port; 0 takes a free one")
    parser.add_argument("--admin-port", type=int, metavar="N", help="admin port; 0 takes a free one")
    return parser


if __name__ == "__main__":
    sys.exit(main())
