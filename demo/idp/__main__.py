"""Run the demo identity provider: python -m demo.idp --secrets DIR."""

import argparse
import asyncio
import logging
from contextlib import AsyncExitStack

from contract import log
from contract.config import ConfigError, exit_with
from contract.web import run, serve
from demo import options
from demo.idp.app import control_app, public_app
from demo.idp.clients import Client, Registry, registered
from demo.idp.keys import KeyRing
from demo.idp.provider import Provider

logger = logging.getLogger("demo.idp")

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = options.parser("demo.idp", "Demo identity provider: access tokens by client credentials.", "idp")
    parser.add_argument("--issuer", help="issuer as the sidecar knows it, e.g. http://idp:9824 (default: own address)")
    options.add_resource(parser)
    parser.add_argument("--control-port", type=int, help="also listen here, loopback only, for POST /-/rotate")
    options.add_secrets(parser)
    options.add_state(parser, "the signing keys")
    settings = parser.parse_args()
    if not settings.issuer and settings.host in EVERYWHERE:
        parser.error(f"--host {settings.host} is no address that tokens can name: give --issuer")
    return settings


async def serve_until(stop: asyncio.Event, settings: argparse.Namespace, clients: dict[str, Client]) -> None:
    """Issue tokens until `stop` is set."""
    provider = Provider(settings.issuer or "", Registry(clients), KeyRing(settings.state))
    async with AsyncExitStack() as stack:
        with options.listening("idp", settings.host, settings.port):
            server = await serve(public_app(provider), settings.host, settings.port)
        stack.push_async_callback(server.close)
        provider.issuer = provider.issuer or server.url
        extra = {"url": server.url, "issuer": provider.issuer, "control": []}
        if settings.control_port is not None:
            with options.listening("", "127.0.0.1", settings.control_port, "--control-port"):
                control = await serve(control_app(provider), "127.0.0.1", settings.control_port)
            stack.push_async_callback(control.close)
            extra["control"] = [control.url]
        logger.info("identity provider listens", extra=extra)
        await stop.wait()


def main() -> None:
    """Check the command line and the secrets, then serve."""
    settings = arguments()
    log.setup("idp", settings.log_level)
    try:
        clients = registered(settings.secrets, settings.resource)
    except ConfigError as error:
        exit_with(error)
    if settings.check:
        return print(f"{len(clients)} clients: {', '.join(clients)}")
    run(lambda stop: serve_until(stop, settings, clients))


if __name__ == "__main__":
    main()
