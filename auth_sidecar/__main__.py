"""Command line of the sidecar: `python -m auth_sidecar --config FILE [--check]`."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry

from auth_sidecar.app import Sidecar
from auth_sidecar.config import load
from contract import log, tracing
from contract.config import ConfigError, exit_with
from contract.web import on_hangup, run

logger = logging.getLogger("auth_sidecar")


def main(arguments: list[str] | None = None) -> int:
    """Run the sidecar, or check its configuration; 2 means that the configuration is not usable."""
    options = _parser().parse_args(arguments)
    try:
        loaded = load(options.config)
    except ConfigError as error:
        exit_with(error)
    if options.check:
        for warning in loaded.warnings:
            print(f"warning: {warning}")
        config = loaded.config
        print(f"{options.config}: fine; {len(config.sidecar.routes)} routes, {len(config.policy.roles)} roles")
        return 0
    log.setup("sidecar", loaded.config.sidecar.log_level)
    tracing.setup("sidecar")
    try:
        run(lambda stop: _serve(options, stop))
    except OSError as error:
        print(f"the sidecar cannot start: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(options: argparse.Namespace, stop: asyncio.Event) -> None:
    sidecar = Sidecar(options.config, CollectorRegistry())
    await sidecar.start(host=options.host, port=options.port, admin_host=options.host, admin_port=options.admin_port)
    on_hangup(sidecar.reloader.reload)
    logger.info("listening", extra={"url": sidecar.url, "admin_url": sidecar.admin_url})
    await stop.wait()
    logger.info("draining")
    await sidecar.close()


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
