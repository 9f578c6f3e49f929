"""Run the notification sink: python -m demo.sink --secrets DIR."""

import argparse
import asyncio
import logging
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

from contract import log
from contract.config import ConfigError, exit_with
from contract.web import run, serve
from demo import options
from demo.sink.app import Sink
from demo.sink.mail import serve_mail
from demo.sink.pace import Pace
from demo.sink.store import Store

logger = logging.getLogger("demo.sink")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = options.parser("demo.sink", "Notification sink: Slack, PagerDuty and e-mail, shown on a page.", "sink")
    parser.add_argument(
        "--smtp-port", type=int, default=options.port("sink_smtp"), help="port for e-mail (default: %(default)s)"
    )
    options.add_secrets(parser)
    options.add_state(parser, "the messages")
    return parser.parse_args()


async def serve_until(stop: asyncio.Event, settings: argparse.Namespace, secrets: dict[str, str]) -> None:
    """Take notifications until `stop` is set."""
    store = Store(settings.state)
    sink = Sink(store, urlsplit(secrets["slack_url"]).path, secrets["pagerduty_routing_key"], Pace())
    async with AsyncExitStack() as stack:
        with options.listening("sink", settings.host, settings.port):
            server = await serve(sink.app(), settings.host, settings.port)
        stack.push_async_callback(server.close)
        with options.listening("sink_smtp", settings.host, settings.smtp_port, "--smtp-port"):
            mail = await serve_mail(store, settings.host, settings.smtp_port)
        stack.push_async_callback(mail.close)
        logger.info("sink listens", extra={"url": server.url, "smtp_port": mail.port})
        await stop.wait()


def main() -> None:
    """Check the command line and the secrets, then serve."""
    settings = arguments()
    log.setup("sink", settings.log_level)
    logging.getLogger("mail.log").setLevel(logging.WARNING)
    try:
        secrets = options.read_secrets(settings.secrets, ["slack_url", "pagerduty_routing_key"])
    except ConfigError as error:
        exit_with(error)
    if settings.check:
        return print("webhook and routing key are there")
    run(lambda stop: serve_until(stop, settings, secrets))


if __name__ == "__main__":
    main()
