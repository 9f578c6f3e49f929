"""What Slack's incoming webhooks take and refuse, and what a message says.

Limits: docs.slack.dev/reference/block-kit, docs.slack.dev/messaging/sending-messages-using-incoming-webhooks.
"""

import html
import json
import re
from collections.abc import Container, Iterator
from typing import Any
from urllib.parse import parse_qs

from demo.sink.markup import mention
from demo.sink.message import MAX_RAW, Message, facts

MAX_ATTACHMENTS = 100
MAX_BLOCKS = 50
MAX_BLOCK_ID = 255
_TEXT_LIMITS = {"header": 150, "section": 3000, "markdown": 12_000, "button": 75}
_COUNT_LIMITS = {"context": 10, "actions": 25}
_BLOCKS = frozenset(
    ("section", "header", "divider", "context", "actions", "image", "markdown", "rich_text", "video", "file", "input",
     "table")
)  # fmt: skip
_LINK = re.compile(r"<(https?://[^|>]+)(?:\|([^>]*))?>")
_MENTION = re.compile(r"<[!@#][^>]+>")
_FORMATTED = ("pretext", "text")

Json = dict[str, Any]


def refusal_of_path(path: str, expected: str) -> tuple[int, str] | None:
    """Return status and text of the refusal of a webhook path, None for the expected one."""
    if path == expected:
        return None
    known, asked = expected.split("/"), path.split("/")
    return (403, "invalid_token") if asked[:-1] == known[:-1] else (404, "no_service")


def parse(body: bytes, content_type: str) -> Json | None:
    """Return the payload of a request: JSON, or a form whose field `payload` is JSON; None when it is neither."""
    try:
        text = body.decode()
        if content_type == "application/x-www-form-urlencoded":
            text = parse_qs(text, strict_parsing=True)["payload"][0]
        payload = json.loads(text)
    except (ValueError, KeyError, RecursionError):
        return None
    return payload if isinstance(payload, dict) else None


def refusal(payload: Json) -> str:
    """Return Slack's word for why it would not take the payload, empty when it would."""
    text, blocks, attachments = (payload.get(name) for name in ("text", "blocks", "attachments"))
    if blocks and not _are_objects(blocks):
        return "invalid_blocks_format"
    if attachments and not _are_objects(attachments):
        return "invalid_attachments"
    if not (text or blocks or attachments):
        return "no_text"
    if text is not None and not isinstance(text, str):
        return "invalid_payload"
    if blocks and not _are_valid(blocks):
        return "invalid_blocks"
    if len(attachments or []) > MAX_ATTACHMENTS:
        return "too_many_attachments"
    if not all(_is_valid_attachment(attachment) for attachment in attachments or []):
        return "invalid_attachments"
    return ""


def read(payload: Json, refused: str = "") -> Message:
    """Return what a payload says."""
    attachments = _objects(payload.get("attachments"))
    lines = [
        *_texts(payload, _FORMATTED),
        *(line for attachment in attachments for line in _texts(attachment, _formatted(attachment))),
    ]
    first = attachments[0] if attachments else {}
    headed = _literal(_string(first.get("title")) or _string(first.get("fallback")))
    title = headed or (lines[0] if lines else "(no text)")
    told = tuple(fact for attachment in attachments for fact in _facts(attachment))
    known = facts(title, next((value for label, value in told if label.lower() == "severity"), ""))
    return Message(
        channel="slack",
        title=_plain(title)[:1024],
        text="\n".join(line for line in lines if line != title),
        fields=told,
        to=_string(payload.get("channel")),
        alert=known.alert,
        state=known.state,
        severity=known.severity,
        links=tuple(_links(attachments, payload)),
        refusal=refused,
        raw=json.dumps(payload, indent=1)[:MAX_RAW],
    )


def _are_objects(found: Any) -> bool:
    return isinstance(found, list) and all(isinstance(item, dict) for item in found)


def _is_valid_attachment(attachment: Json) -> bool:
    blocks = attachment.get("blocks")
    if blocks and not (_are_objects(blocks) and _are_valid(blocks)):
        return False
    return all(_are_objects(attachment.get(name) or []) for name in ("fields", "actions"))


def _are_valid(blocks: list[Json]) -> bool:
    return len(blocks) <= MAX_BLOCKS and all(_is_valid_block(block) for block in blocks)


def _is_valid_block(block: Json) -> bool:
    kind = _string(block.get("type"))
    if kind not in _BLOCKS or len(_string(block.get("block_id"))) > MAX_BLOCK_ID:
        return False
    elements = block.get("elements")
    if kind in _COUNT_LIMITS and not (isinstance(elements, list) and 1 <= len(elements) <= _COUNT_LIMITS[kind]):
        return False
    checks = {"header": _is_valid_header, "section": _is_valid_section, "image": _is_valid_image}
    return checks[kind](block) if kind in checks else True


def _is_valid_header(block: Json) -> bool:
    return _is_text(block.get("text"), ("plain_text",), _TEXT_LIMITS["header"])


def _is_valid_section(block: Json) -> bool:
    text, fields = block.get("text"), block.get("fields")
    kinds = ("mrkdwn", "plain_text")
    if text is not None and not _is_text(text, kinds, _TEXT_LIMITS["section"]):
        return False
    if fields is not None:
        return isinstance(fields, list) and 1 <= len(fields) <= 10 and all(_is_text(f, kinds, 2000) for f in fields)
    return text is not None


def _is_valid_image(block: Json) -> bool:
    return bool(_string(block.get("alt_text"))) and ("image_url" in block or "slack_file" in block)


def _is_text(found: Any, kinds: tuple[str, ...], limit: int) -> bool:
    return isinstance(found, dict) and found.get("type") in kinds and 1 <= len(_string(found.get("text"))) <= limit


def _formatted(attachment: Json) -> Container[str]:
    """Return the names of the fields in which * is no star but makes bold: those that an attachment lists."""
    named = attachment.get("mrkdwn_in")
    return named if isinstance(named, list) else ()


def _facts(attachment: Json) -> Iterator[tuple[str, str]]:
    is_formatted = "fields" in _formatted(attachment)
    for field in _objects(attachment.get("fields")):
        value = _string(field.get("value"))
        yield _string(field.get("title")), _plain(value if is_formatted else _literal(value))


def _texts(part: Json, formatted: Container[str]) -> Iterator[str]:
    for name in ("pretext", "text"):
        if text := _string(part.get(name)):
            yield text if name in formatted else _literal(text)
    for block in _objects(part.get("blocks")):
        inner = _objects([block.get("text"), *_objects(block.get("fields")), *_objects(block.get("elements"))])
        yield from (_string(text.get("text")) for text in inner if _string(text.get("text")))


def _links(attachments: list[Json], payload: Json) -> Iterator[tuple[str, str]]:
    for attachment in attachments:
        if _string(attachment.get("title_link")):
            yield "Alert", _string(attachment["title_link"])
        for action in _objects(attachment.get("actions")):
            if _string(action.get("url")):
                yield _string(action.get("text")) or "Link", _string(action["url"])
    for text in _texts(payload, _FORMATTED):
        yield from ((label or url, html.unescape(url)) for url, label in _LINK.findall(text))


def _plain(text: str) -> str:
    """Return Slack's escaped text as people read it, without marks."""
    linked = _LINK.sub(lambda found: found[2] or found[1], text)
    return html.unescape(_MENTION.sub(lambda found: mention(found[0]), linked).replace("*", ""))


def _literal(text: str) -> str:
    """Return text of which Slack makes nothing bold, fit for where it would."""
    return text.replace("*", "&#42;")


def _objects(found: Any) -> list[Json]:
    """Return the objects of a list, nothing of anything else."""
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _string(found: Any) -> str:
    return found if isinstance(found, str) else ""
