"""Real Prometheus, Alertmanager and VictoriaMetrics on free ports, and a receiver of what they send."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

_TROUBLE = re.compile(rb"level=(warn|error)", re.IGNORECASE)
_LISTENING = re.compile(rb'(?:msg="Listening on".*address=|started server at http://)(?P<address>[\w.:\[\]]+)')
DEADLINE_SECONDS = 30.0


@asynccontextmanager
async def running(
    *command: str | Path, cwd: Path, started: Callable[[asyncio.subprocess.Process], None] = lambda process: None
) -> AsyncIterator[str]:
    """Run a program until the end of the block; yields its URL once it listens, hands its process to `started`."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), cwd=cwd, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    assert process.stderr is not None
    started(process)
    seen: list[bytes] = []
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            address = await _address(process.stderr, seen)
    except BaseException:
        await _end(process)
        raise
    drain = asyncio.create_task(_show_trouble(process.stderr))
    try:
        yield f"http://{address}"
    finally:
        await _end(process)
        await drain


async def _address(log: asyncio.StreamReader, seen: list[bytes]) -> str:
    async for line in log:
        seen.append(line)
        if match := _LISTENING.search(line):
            return match["address"].decode()
    raise AssertionError(b"".join(seen).decode())


async def _show_trouble(log: asyncio.StreamReader) -> None:
    async for line in log:
        if _TROUBLE.search(line):
            print(line.decode(), end="")


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    await process.wait()


@dataclass
class Receiver:
    """Takes what Alertmanager sends, as Slack, PagerDuty, a webhook and a mail server would."""

    posts: dict[str, list[Any]] = field(default_factory=dict)
    """Bodies by path."""
    credentials: dict[str, set[str]] = field(default_factory=dict)
    """What stood in Authorization, by path."""
    mails: list[Message] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    url: str = ""
    smtp: str = ""
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, condition: Callable[["Receiver"], bool], seconds: float = DEADLINE_SECONDS) -> None:
        """Wait until something arrived that makes the condition true."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: condition(self))

    async def handle_post(self, request: web.Request) -> web.Response:
        """Keep a POST."""
        async with self._news:
            self.posts.setdefault(request.path, []).append(await request.json())
            self.credentials.setdefault(request.path, set()).add(request.headers.get("Authorization", ""))
            self._news.notify_all()
        if "enqueue" in request.path:
            return web.json_response({"status": "success", "message": "Event processed"}, status=202)
        return web.Response(text="ok")

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Keep an e-mail."""
        async with self._news:
            assert isinstance(envelope.content, bytes)
            self.mails.append(message_from_bytes(envelope.content))
            self.recipients += envelope.rcpt_tos
            self._news.notify_all()
        return "250 OK"


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """Run a receiver on free ports."""
    taken = Receiver()
    app = web.Application()
    app.router.add_post("/{path:.*}", taken.handle_post)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    taken.url = "http://{}:{}".format(*runner.addresses[0][:2])
    loop = asyncio.get_running_loop()
    mail = await loop.create_server(lambda: SMTP(taken, enable_SMTPUTF8=False, loop=loop), "127.0.0.1", 0)
    taken.smtp = "{}:{}".format(*mail.sockets[0].getsockname()[:2])
    try:
        yield taken
    finally:
        mail.close()
        await runner.cleanup()


def hurried(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration with every wait cut to what a test can afford."""
    route = {key: value for key, value in config.items() if key != "routes"}
    waits = {"group_wait": "1s", "group_interval": "500ms", "repeat_interval": "1h"}
    route.update({key: value for key, value in waits.items() if key in route})
    if "routes" in config:
        route["routes"] = [hurried(child) for child in config["routes"]]
    return route


def install(folder: Path, taken: Receiver, generated: Path, templates: Path) -> Path:
    """Lay a generated configuration and its secrets out in a folder, pointed at the receiver; returns its file."""
    services = {f"http://{name}": taken.url for name in ("sink:9823", "incident-desk:9822")}
    places = {**services, "sink:9825": taken.smtp, "/etc/alertmanager": str(folder)}
    text = generated.read_text()
    for written, real in places.items():
        text = text.replace(written, real)
    config = yaml.safe_load(text)
    config["route"] = hurried(config["route"])
    for part in ("templates", "secrets"):
        (folder / part).mkdir(exist_ok=True)
    for template in templates.glob("*.tmpl"):
        (folder / "templates" / template.name).write_text(template.read_text())
    (folder / "secrets" / "slack_url").write_text(f"{taken.url}/slack")
    (folder / "secrets" / "pagerduty_routing_key").write_text("0123456789abcdef0123456789abcdef")
    (folder / "secrets" / "incident_desk_token").write_text("made-up")
    file = folder / "alertmanager.yml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    return file
