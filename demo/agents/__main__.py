"""Run the twelve demo agents and the control of their faults: python -m demo.agents."""

import argparse
import asyncio
import logging
from contextlib import AsyncExitStack

from contract import log, tracing
from contract.config import ConfigError, exit_with
from contract.web import run, serve
from demo import options
from demo.agents.conduct import Conduct
from demo.agents.fleet import Agent, build, names
from demo.faults.bad_tokens import Intruder
from demo.faults.catalogue import Fault
from demo.faults.control import control_app
from demo.faults.effects import Burners, ClosedPort, Effect, Faults, Setting

logger = logging.getLogger("demo.agents")

DOWN_AGENT, SLOW_AGENT = "planner-2", "planner-1"
SLOW_SECONDS = 3.0
FAIL_EVERY = 4


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = options.parser("demo.agents", "Twelve demo MCP agents and the control of their faults.", "agents")
    parser.add_argument(
        "--control-port", type=int, default=options.port("demo_control"), help="control API (default: %(default)s)"
    )
    parser.add_argument(
        "--think-seconds", type=float, default=0.3, help="mean time a tool call takes (default: %(default)s)"
    )
    parser.add_argument("--allow-host", action="append", default=[], help="one more Host name to answer to")
    for option, default, what in (
        ("--sidecar", options.local_url("sidecar"), "what bad-tokens knocks at"),
        ("--token-url", f"{options.local_url('idp')}/token", "where bad-tokens gets misdirected tokens"),
    ):
        parser.add_argument(option, default=default, help=f"{what} (default: %(default)s)")
    options.add_resource(parser)
    options.add_secrets(parser)
    return parser.parse_args()


def effects(agents: list[Agent], conduct: Conduct, intruder: Intruder) -> dict[Fault, Effect]:
    """Return how each fault is done."""
    listeners = {agent.name: agent.listener for agent in agents}
    return {
        Fault.AGENT_DOWN: ClosedPort(listeners[DOWN_AGENT]),
        Fault.AGENT_SLOW: Setting(conduct, "delay_seconds", {SLOW_AGENT: SLOW_SECONDS}),
        Fault.BAD_TOKENS: intruder,
        Fault.TOOL_ERRORS: Setting(conduct, "fail_every", FAIL_EVERY),
        Fault.WORKFLOW_FAILURES: Setting(conduct, "is_absurd", True),
        Fault.CPU: Burners(),
    }


async def serve_until(stop: asyncio.Event, settings: argparse.Namespace, secret: str) -> None:
    """Keep the agents up, and broken where that is asked for, until `stop` is set."""
    conduct = Conduct(settings.think_seconds)
    base = settings.port
    listen_on = [base + index if base else 0 for index in range(len(names()))]
    agents = build(conduct, settings.host, listen_on, settings.allow_host)
    intruder = Intruder(f"{settings.sidecar}/{agents[0].name}/mcp", settings.token_url, secret, settings.resource)
    faults = Faults(effects(agents, conduct, intruder))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(close_all, agents)
        for agent in agents:
            with options.listening("agents", settings.host, agent.listener.port):
                await agent.listener.open()
        with options.listening("demo_control", settings.host, settings.control_port, "--control-port"):
            control = await serve(control_app(faults), settings.host, settings.control_port)
        stack.push_async_callback(control.close)
        stack.push_async_callback(faults.heal_all)
        urls = {agent.name: f"{agent.listener.url}/mcp" for agent in agents}
        logger.info("agents listen", extra={"url": control.url, "agents": urls})
        await stop.wait()


async def close_all(agents: list[Agent]) -> None:
    """Close all listeners at the same time."""
    await asyncio.gather(*(agent.listener.close() for agent in agents))


def main() -> None:
    """Check the command line and the secrets, then serve."""
    settings = arguments()
    log.setup("agents", settings.log_level)
    for chatty in ("mcp", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        tracer = tracing.setup("agents", for_libraries=True)
        secrets = options.read_secrets(settings.secrets, ["idp_client_intruder"])
    except ConfigError as error:
        exit_with(error)
    if settings.check:
        return print(f"{len(names())} agents: {', '.join(names())}")
    run(lambda stop: serve_until(stop, settings, secrets["idp_client_intruder"]))
    if tracer:
        tracer.close()


if __name__ == "__main__":
    main()
