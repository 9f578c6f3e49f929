"""Listing an agent's tools, every page, within bounds; each page is hashed and let go."""

import asyncio

from contract.vocabulary import ProbeOutcome
from exporter.jsonrpc import Result, RpcError
from exporter.mcp_client import Dialog
from exporter.outcome import Failure
from exporter.tool_pins import Fingerprints, Listing

MAX_PAGES = 100
MAX_TOOLS = 10_000
MAX_LISTING_BYTES = 4 * 1024 * 1024
"""All pages together."""
HASHED_AT_ONCE = 50
"""Tools hashed before other probes get a turn."""


async def list_tools(dialog: Dialog) -> Fingerprints | Failure:
    """Return the hashes of all tools; a listing that never ends or is no listing is a failure."""
    listing, size, cursor = Listing(), 0, None
    for _ in range(MAX_PAGES):
        reply = await dialog.call("tools/list", {"cursor": cursor} if cursor else {})
        if isinstance(reply, Failure):
            return reply
        if isinstance(reply, RpcError):
            return _failure(f"error {reply.code} {reply.message}")
        size += reply.size
        if size > MAX_LISTING_BYTES:
            return _failure(f"all pages are larger than {MAX_LISTING_BYTES} bytes")
        if failure := await _take(reply, listing):
            return failure
        cursor = reply.value.get("nextCursor")
        if not cursor:
            return listing.fingerprints()
        if not isinstance(cursor, str):
            break
    return _failure(f"no end after {listing.count} tools")


async def _take(reply: Result, listing: Listing) -> Failure | None:
    page = reply.value.get("tools")
    if not isinstance(page, list) or not all(isinstance(tool, dict) for tool in page):
        return _failure("the result has no list of tools")
    if listing.count + len(page) > MAX_TOOLS:
        return _failure(f"more than {MAX_TOOLS} tools")
    for start in range(0, len(page), HASHED_AT_ONCE):
        try:
            listing.add(page[start : start + HASHED_AT_ONCE])
        except ValueError as error:
            return _failure(str(error))
        if len(page) > HASHED_AT_ONCE:
            await asyncio.sleep(0)
    return None


def _failure(detail: str) -> Failure:
    return Failure(ProbeOutcome.PROTOCOL_ERROR, f"tools/list: {detail}")
