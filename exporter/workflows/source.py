"""Reading one workflow source: over HTTP, as an MCP resource, or another JSON through JMESPath."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from contract.vocabulary import ProbeOutcome
from exporter.config import WorkflowSource
from exporter.exchange import HttpClient
from exporter.jsonrpc import RpcError
from exporter.mcp_client import conversation
from exporter.outcome import Failure
from exporter.probes.http import get, judge
from exporter.workflows import document, mapping
from exporter.workflows.document import Statistics


async def read(source: WorkflowSource, http: HttpClient) -> Statistics | str:
    """Return what the engine tells, or why it could not be read."""
    content = await _CONTENT[source.kind](source, http)
    if isinstance(content, Failure):
        return f"{content.outcome}: {content.detail}"
    try:
        if source.workflows is not None and source.mapping is not None:
            return mapping.read(content, source.workflows, source.mapping)
        return document.read(content)
    except ValueError as error:
        return str(error)


async def _from_http(source: WorkflowSource, http: HttpClient) -> bytes | Failure:
    answer = await get(http, source.timeout, "application/json")
    if isinstance(answer, Failure):
        return answer
    return judge(answer, "the URL of the statistics") or answer.body


async def _from_resource(source: WorkflowSource, http: HttpClient) -> bytes | Failure:
    try:
        async with asyncio.timeout(source.timeout) as deadline, conversation(http) as dialog:
            if isinstance(dialog, Failure):
                return dialog
            reply = await dialog.call("resources/read", {"uri": source.resource})
            deadline.reschedule(None)
    except TimeoutError:
        return Failure(ProbeOutcome.TIMEOUT, f"no complete answer within {source.timeout:g}s")
    if isinstance(reply, Failure):
        return reply
    if isinstance(reply, RpcError):
        return Failure(ProbeOutcome.PROTOCOL_ERROR, f"resources/read: error {reply.code} {reply.message}")
    contents = reply.value.get("contents")
    first = contents[0] if isinstance(contents, list) and contents else None
    text = first.get("text") if isinstance(first, dict) else None
    if not isinstance(text, str):
        return Failure(ProbeOutcome.PROTOCOL_ERROR, f"resource {source.resource} has no text")
    return text.encode("utf-8", "replace")


_CONTENT: Mapping[str, Callable[[WorkflowSource, HttpClient], Awaitable[bytes | Failure]]] = {
    "document": _from_http,
    "jmespath": _from_http,
    "mcp_resource": _from_resource,
}
