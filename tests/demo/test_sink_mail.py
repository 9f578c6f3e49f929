"""Mail by real SMTP into the sink."""

import asyncio
import smtplib
import time
from collections.abc import AsyncIterator
from email.message import EmailMessage

import pytest

from demo.sink.mail import MailServer, read, serve_mail
from demo.sink.store import Store

HTML = (
    '<h1>Down</h1><p><a style="x" href="http://localhost:9820/runbooks/agent_down?a=1&amp;b=2"><b>Runbook</b></a></p>'
)
TEXT = "[CRITICAL] AgentDown\n\nSeverity:  critical\nWhere:     planner-2\nRunbook:   http://localhost:9820/r\n"


@pytest.fixture
async def mail() -> AsyncIterator[tuple[MailServer, Store]]:
    store = Store()
    server = await serve_mail(store)
    yield server, store
    await server.close()


def letter(subject: str = "[CRITICAL] AgentDown: planner-2 is down") -> EmailMessage:
    made = EmailMessage()
    made["Subject"], made["From"], made["To"] = subject, "alerts@lookout.example", "on-call@lookout.example"
    made.set_content(TEXT)
    made.add_alternative(HTML, subtype="html")
    return made


async def send(server: MailServer, message: EmailMessage, to: list[str]) -> None:
    def deliver() -> None:
        with smtplib.SMTP("127.0.0.1", server.port, timeout=10) as client:
            client.send_message(message, to_addrs=to)

    await asyncio.to_thread(deliver)


async def test_a_mail_of_two_parts_arrives_with_both(mail: tuple[MailServer, Store]) -> None:
    server, store = mail
    await send(server, letter(), ["on-call@lookout.example", "security-team@lookout.example"])
    (message,) = store.all()
    assert message.to == "on-call@lookout.example, security-team@lookout.example"
    assert (message.alert, message.state, message.severity) == ("AgentDown", "firing", "critical")
    assert message.fields == (("Severity", "critical"), ("Where", "planner-2"))
    assert message.links == (("Runbook", "http://localhost:9820/runbooks/agent_down?a=1&b=2"),)
    assert "Severity:  critical" in message.text
    assert "<h1>Down</h1>" in message.html


async def test_a_mail_in_any_charset_and_encoding_is_read(mail: tuple[MailServer, Store]) -> None:
    server, store = mail
    message = letter("[RESOLVED] Größe: 日本 is back")
    message.clear_content()
    message.set_content("Größe\n", charset="iso-8859-1", cte="quoted-printable")
    await send(server, message, ["on-call@lookout.example"])
    (received,) = store.all()
    assert received.title == "[RESOLVED] Größe: 日本 is back"
    assert (received.text, received.state, received.html) == ("Größe", "resolved", "")


async def test_many_mails_at_once_all_arrive(mail: tuple[MailServer, Store]) -> None:
    server, store = mail
    await asyncio.gather(*(send(server, letter(f"number {n}"), ["a@lookout.example"]) for n in range(20)))
    assert sorted(message.title for message in store.all()) == sorted(f"number {n}" for n in range(20))


async def test_a_mail_above_the_limit_is_refused(mail: tuple[MailServer, Store]) -> None:
    server, store = mail
    huge = letter()
    huge.clear_content()
    huge.set_content("x\n" * 6 * 1024 * 1024)
    with pytest.raises((smtplib.SMTPSenderRefused, smtplib.SMTPDataError)) as caught:
        await send(server, huge, ["a@lookout.example"])
    assert caught.value.smtp_code == 552
    assert store.all() == []


def test_html_alone_is_read_as_text_too() -> None:
    message = read(b"Subject: x\nContent-Type: text/html\n\n<p>a &lt; b</p>", [])
    assert message.text == "a < b"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"Subject: =?bogus?q?x?=\n\nhello",
        b"Content-Type: text/plain; charset=no-such\n\nhello",
        b"Content-Type: multipart/mixed; boundary=x\n\n--x\n",
        b"Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n!!!!",
    ],
)
def test_a_broken_mail_is_kept_as_far_as_it_can_be_read(content: bytes) -> None:
    assert read(content, ["a@lookout.example"]).channel == "email"


@pytest.mark.parametrize("part", ["<a href='http://x'", "<a href='http://x'>", "<", "<a <b>", "<a x><b></b>", "<a><b"])
def test_endless_markup_is_read_in_time_in_proportion(part: str) -> None:
    began = time.process_time()
    message = read(b"Content-Type: text/html\r\n\r\n" + (part * (400_000 // len(part))).encode(), ["a@b"])
    assert time.process_time() - began < 20, "reading every pair would take hours"
    assert len(message.links) <= 20
