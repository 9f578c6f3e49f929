"""Run the demo workflow engine: python -m demo.engine."""

import argparse
import asyncio
import contextlib
import logging
from functools import partial

import aiohttp

from contract import log, tracing
from contract.config import ConfigError, exit_with
from contract.tracing import Tracer
from contract.vocabulary import AGENT_TYPES
from contract.web import run
from demo import options
from demo.engine.agents import Agents
from demo.engine.app import make_app
from demo.engine.reviewer import Reviewer
from demo.engine.scheduler import Scheduler, until_ready
from demo.engine.statistics import Statistics
from demo.engine.tokens import TokenSource
from demo.engine.workflow import WORKFLOW, Workflow
from demo.listener import Listener

logger = logging.getLogger("demo.engine")

CLIENT_ID = "workflow-engine"
INSTANCES = 2


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = options.parser("demo.engine", "Demo workflow engine: runs that call the agents.", "engine")
    for option, default, what in (
        ("--sidecar", options.local_url("sidecar"), "agents are called at SIDECAR/<agent>/mcp"),
        ("--token-url", f"{options.local_url('idp')}/token", "where access tokens come from"),
    ):
        parser.add_argument(option, default=default, help=f"{what} (default: %(default)s)")
    for option, number, what in (
        ("--interval-seconds", 8.0, "mean time between two runs"),
        ("--time-scale", 120.0, "how much faster than in life people answer: an hour is 30 s"),
        ("--reviewer-share", 0.12, "share of a deadline that a person takes; above 1 is too late"),
    ):
        parser.add_argument(option, type=float, default=number, help=f"{what} (default: %(default)s)")
    parser.add_argument("--concurrency", type=int, default=4, help="runs in flight (default: %(default)s)")
    parser.add_argument("--allow-host", action="append", default=[], help="one more Host name to answer to")
    options.add_resource(parser)
    options.add_secrets(parser)
    return parser.parse_args()


async def serve_until(
    stop: asyncio.Event, settings: argparse.Namespace, secret: str, tracer: Tracer | None = None
) -> None:
    """Run workflows and serve their statistics until `stop` is set."""
    statistics = Statistics(WORKFLOW)
    listener = Listener(partial(make_app, statistics, settings.allow_host), settings.host, settings.port)
    with options.listening("engine", settings.host, settings.port):
        await listener.open()
    logger.info("engine listens", extra={"url": listener.url, "sidecar": settings.sidecar})
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        tokens = TokenSource(session, settings.token_url, CLIENT_ID, secret, settings.resource)
        agents = Agents(session, tokens, addresses(settings.sidecar), tracer=tracer)
        working = asyncio.create_task(work(agents, statistics, settings, tracer))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (working, stopping):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    await listener.close()


async def work(
    agents: Agents, statistics: Statistics, settings: argparse.Namespace, tracer: Tracer | None = None
) -> None:
    """Wait until the agents can be called, then run workflows."""
    await until_ready(agents)
    reviewer = Reviewer(statistics, settings.time_scale, settings.reviewer_share)
    workflow = Workflow(agents, reviewer, statistics, tracer)
    scheduler = Scheduler(
        workflow, statistics, interval_seconds=settings.interval_seconds, concurrency=settings.concurrency
    )
    await scheduler.run()


def addresses(sidecar: str) -> dict[str, list[str]]:
    """Return the MCP addresses of each type's instances behind the sidecar."""
    numbers = range(1, INSTANCES + 1)
    return {kind: [f"{sidecar}/{kind}-{number}/mcp" for number in numbers] for kind in AGENT_TYPES}


def main() -> None:
    """Check the command line and the secrets, then serve."""
    settings = arguments()
    log.setup("engine", settings.log_level)
    for chatty in ("mcp", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        tracer = tracing.setup("engine")
        secrets = options.read_secrets(settings.secrets, ["idp_client_workflow_engine"])
    except ConfigError as error:
        exit_with(error)
    if settings.check:
        return print(f"workflow {WORKFLOW}, a run every {settings.interval_seconds:g} s")
    run(lambda stop: serve_until(stop, settings, secrets["idp_client_workflow_engine"], tracer))
    if tracer:
        tracer.close()


if __name__ == "__main__":
    main()
