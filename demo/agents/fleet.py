"""The twelve agents: their names, their tools, their servers."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial, wraps
from typing import Any, NamedTuple

from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp

from contract import tracing_settings
from contract.vocabulary import AGENT_TYPES
from contract.web import release
from demo.agents import planner, programmer, validator
from demo.agents.conduct import Conduct
from demo.agents.library import Library
from demo.agents.orchestrator import Orchestrator
from demo.agents.plans import Finding, Plan, Verdict, verdict
from demo.agents.traced import traced
from demo.hosts import security
from demo.listener import Listener

INSTANCES = 2
"""Agents of each type."""

HOSTS = ("127.0.0.1", "localhost", "[::1]", "agents", "host.docker.internal")
"""Host names under which the agents may be called."""

Tool = Callable[..., Any]


class Agent(NamedTuple):
    """One agent and where it listens."""

    name: str
    agent_type: str
    listener: Listener


def build(conduct: Conduct, host: str, ports: Sequence[int], more_hosts: Iterable[str] = ()) -> list[Agent]:
    """Return the agents in the order of their ports, none of them open yet."""
    orchestrator = Orchestrator()
    protection = security([*HOSTS, *more_hosts])
    agents = []
    for listen_on, name in zip(ports, names(), strict=True):
        agent_type = name.rpartition("-")[0]
        server = _server(name, agent_type, _tools(agent_type, name, orchestrator, conduct), conduct)
        make_app = partial(_app, server, protection)
        agents.append(Agent(name, agent_type, Listener(make_app, host, listen_on)))
    return agents


def names() -> list[str]:
    """Return the agents' names in the order of their ports."""
    return [f"{agent_type}-{number}" for agent_type in AGENT_TYPES for number in range(1, INSTANCES + 1)]


def _tools(agent_type: str, name: str, orchestrator: Orchestrator, conduct: Conduct) -> tuple[Tool, ...]:
    library = Library(name)
    tools: dict[str, tuple[Tool, ...]] = {
        "orchestrator": (orchestrator.start_workflow, orchestrator.workflow_status),
        "planner": (planner.create_plan, planner.revise_plan),
        "validator": (_plan_validation(conduct), validator.validate_code),
        "programmer": (programmer.write_code, programmer.refine_code),
        "documentation": (library.write_document, library.search_documents),
        "knowledge_base": (library.search_knowledge, library.store_knowledge),
    }
    return tools[agent_type]


def _plan_validation(conduct: Conduct) -> Tool:
    """Return the real validation, with one more finding while the fault workflow-failures is on."""

    @wraps(validator.validate_plan)
    def validate_plan(plan: Plan) -> Verdict:
        judged = validator.validate_plan(plan)
        if not conduct.is_absurd:
            return judged
        absurd = Finding(rule="change_freeze", where="plan", message="demo fault workflow-failures: no plan is good")
        return verdict([*judged.findings, absurd])

    return validate_plan


def _server(name: str, agent_type: str, tools: Iterable[Tool], conduct: Conduct) -> MCPServer[Any]:
    server: MCPServer[Any] = MCPServer(
        name=name,
        title=f"Demo {agent_type.replace('_', ' ')}",
        version=release(),
        middleware=[conduct.middleware(name)],
    )
    for tool in tools:
        server.add_tool(tool)
    return server


def _app(server: MCPServer[Any], security: TransportSecuritySettings) -> ASGIApp:
    app = server.streamable_http_app(json_response=True, transport_security=security)
    return traced(app) if tracing_settings.is_wanted() else app
