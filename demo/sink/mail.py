"""A mail server that keeps what it is given: SMTP in, message with its text and HTML part out."""

import asyncio
import email
import email.policy
import html
import re
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, Envelope, Session

from demo.sink.message import MAX_RAW, Message, facts
from demo.sink.store import Store

MAX_BYTES = 10 * 1024 * 1024
MAX_HTML = 500_000
_ADDRESS = re.compile(r"https?://[^\s<>\"']+")
# Each part ends at the next tag at the latest, so that reading takes time in proportion, whatever the markup.
_ANCHOR = re.compile(r"<a\s([^<>]*)>([^<]*(?:<(?!/?a\b)[^<>]*>[^<]*)*)</a>", re.IGNORECASE)
_HREF = re.compile(r"href=[\"'](https?://[^\"'<>]+)[\"']", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]+>")
_FIELD = re.compile(r"^([A-Z][A-Za-z ]{1,20}):[ \t]+(?!https?://)(\S.{0,100})$", re.MULTILINE)


class Mailbox:
    """What aiosmtpd calls for every mail."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Keep the mail."""
        content = envelope.content
        self._store.add(read(content if isinstance(content, bytes) else b"", envelope.rcpt_tos))
        return "250 OK"


class MailServer:
    """A listening SMTP server, without authentication or TLS: for the demo's own network only."""

    def __init__(self, server: asyncio.Server) -> None:
        self._server = server
        self.port: int = server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening."""
        self._server.close()
        await self._server.wait_closed()


async def serve_mail(store: Store, host: str = "127.0.0.1", port: int = 0) -> MailServer:
    """Start to accept mail; raises OSError when the address cannot be bound."""
    loop = asyncio.get_running_loop()

    def protocol() -> SMTP:
        return SMTP(
            Mailbox(store), data_size_limit=MAX_BYTES, enable_SMTPUTF8=True, hostname="sink", timeout=60, loop=loop
        )

    server = await loop.create_server(protocol, host, port)
    return MailServer(server)


def read(content: bytes, recipients: list[str]) -> Message:
    """Return what a mail says; a broken one says what can be read of it."""
    mail = email.message_from_bytes(content, policy=email.policy.default)
    markup = _part(mail, "html")
    text = _part(mail, "plain") or html.unescape(_TAG.sub(" ", markup))
    subject = str(mail.get("subject", "(no subject)"))
    fields = tuple((label, value.strip()) for label, value in _FIELD.findall(text.replace("\r\n", "\n"))[:12])
    known = facts(subject, next((value for label, value in fields if label.lower() == "severity"), ""))
    return Message(
        channel="email",
        title=subject[:1024],
        text=text.strip()[:MAX_RAW],
        to=", ".join(recipients)[:1024],
        alert=known.alert,
        state=known.state,
        severity=known.severity,
        fields=fields,
        links=_links(text, markup),
        html=markup[:MAX_HTML],
        raw=content.decode("utf-8", "replace")[:MAX_RAW],
    )


def _part(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body(preferencelist=(kind,))
    if not isinstance(part, EmailMessage):
        return ""
    try:
        return str(part.get_content())
    except (LookupError, UnicodeError):
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""


def _links(text: str, markup: str) -> tuple[tuple[str, str], ...]:
    anchors = [
        (html.unescape(_TAG.sub("", label)).strip(), html.unescape(href[1]))
        for attributes, label in _ANCHOR.findall(markup)
        if (href := _HREF.search(attributes))
    ]
    plain = [(address, address) for address in _ADDRESS.findall(text)]
    return tuple(dict.fromkeys(anchors or plain))[:20]
