"""Listing an agent's tools, every page, within bounds."""

from contract.vocabulary import ProbeOutcome
from exporter.jsonrpc import RpcError
from exporter.mcp_client import Dialog
from exporter.outcome import Failure, Tools

MAX_PAGES = 100
MAX_TOOLS = 10_000


async def list_tools(dialog: Dialog) -> Tools | Failure:
    """Return all tool definitions; a listing that never ends or is no listing is a failure."""
    tools: Tools = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        reply = await dialog.call("tools/list", {"cursor": cursor} if cursor else {})
        if isinstance(reply, Failure):
            return reply
        if isinstance(reply, RpcError):
            return Failure(ProbeOutcome.PROTOCOL_ERROR, f"tools/list: error {reply.code} {reply.message}")
        page = reply.value.get("tools")
        if not isinstance(page, list) or not all(isinstance(tool, dict) for tool in page):
            return Failure(ProbeOutcome.PROTOCOL_ERROR, "tools/list: the result has no list of tools")
        tools += page
        cursor = reply.value.get("nextCursor")
        if not cursor:
            return tools
        if not isinstance(cursor, str) or len(tools) > MAX_TOOLS:
            break
    return Failure(ProbeOutcome.PROTOCOL_ERROR, f"tools/list: no end after {len(tools)} tools")
