"""Alerts and incidents for tests, and a desk that runs against a small Alertmanager of their own."""

import json
import re
import resource
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import yaml
import yarl
from aiohttp import web
from prometheus_client import CollectorRegistry

from contract.instruments import Instruments
from contract.web import Reloader, Server, serve
from incident_desk.app import make_app
from incident_desk.config import load_settings
from incident_desk.desk import Desk
from incident_desk.incident import Alert, Incident, follow
from incident_desk.numbers import Numbers
from incident_desk.store import Store
from incident_desk.times import Times

QUARTER = 15 * 60.0
NOW = 1_800_000_000.0
GRACE = 600.0
TOKEN = "made-up-token"
STAGES = {
    "immediate": [
        {"name": "lead", "after": "15m", "channels": ["pagerduty"]},
        {"name": "head", "after": "45m", "channels": ["email"]},
    ],
    "standard": [{"name": "lead", "after": "60m", "channels": ["email"]}],
}


def alert(fingerprint: str = "f1", *, started: float = NOW, ended: float | None = None, **labels: str) -> Alert:
    """Return an alert that fires, or has ended."""
    words = {"alertname": "AgentDown", "agent": fingerprint, "severity": "critical", "escalation": "immediate"}
    return Alert(fingerprint, {**words, **labels}, {"summary": f"{fingerprint} is down"}, started, ended)


def incident(**changes: Any) -> Incident:
    """Return an incident that has just been opened."""
    opened = follow(None, alert(), NOW, GRACE)
    assert opened is not None
    return replace(opened, id=1, **changes)


def moment(seconds: float) -> str:
    """Return a moment as Alertmanager writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def notification(*alerts: Alert) -> bytes:
    """Return the body of Alertmanager's webhook."""
    return json.dumps({"version": "4", "status": "firing", "alerts": [_notified(each) for each in alerts]}).encode()


def _notified(each: Alert) -> dict[str, Any]:
    return {
        "status": "firing" if each.ended is None else "resolved",
        "labels": dict(each.labels),
        "annotations": dict(each.annotations),
        "startsAt": moment(each.started),
        "endsAt": "0001-01-01T00:00:00Z" if each.ended is None else moment(each.ended),
        "fingerprint": each.fingerprint,
    }


@dataclass
class World:
    """A small Alertmanager and the time; tests change what it holds and whether it answers."""

    now: float = NOW
    held: dict[str, str] = field(default_factory=dict)
    """State of each alert that it holds, by fingerprint."""
    muted: set[str] = field(default_factory=set)
    """Fingerprints that a time interval mutes."""
    odd: list[Any] = field(default_factory=list)
    """Entries of its list besides."""
    is_down: bool = False
    list_status: int = 200
    """With what it answers whoever asks for its list."""
    posted: list[list[dict[str, Any]]] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        """Answer as Alertmanager does."""
        if self.is_down:
            return web.Response(status=503)
        if request.method == "POST":
            self.posted.append(await request.json())
            return web.Response()
        receivers = [{"name": name} for name in ("slack", "incident-desk")]
        held = [
            {**_notified(alert(name)), "status": {"state": state}, "receivers": receivers}
            for name, state in self.held.items()
        ]
        return web.json_response([*self.odd, *held], status=self.list_status)

    async def handle_groups(self, request: web.Request) -> web.Response:
        """Answer as Alertmanager does to whoever asks for the groups of the desk's receiver."""
        assert request.query["receiver"] == r"incident\-desk"
        if self.is_down:
            return web.Response(status=503)
        statuses = {name: {"mutedBy": ["night"] if name in self.muted else []} for name in self.held}
        return web.json_response(
            [{"alerts": [{"fingerprint": name, "status": status}]} for name, status in statuses.items()]
        )

    def told(self) -> list[tuple[str, bool]]:
        """Return the stages of the last post, and whether each fires."""
        return [(each["labels"]["stage"], each["endsAt"] > moment(self.now)) for each in self.posted[-1]]


@dataclass
class Running:
    """A desk whose rounds a test makes itself."""

    desk: Desk
    world: World
    url: str
    folder: Path
    session: aiohttp.ClientSession

    async def send(self, body: bytes, token: str = TOKEN) -> int:
        """Send a notification; return the status of the answer."""
        headers = {"Authorization": f"Bearer {token}"}
        async with self.session.post(f"{self.url}/alerts", data=body, headers=headers) as answer:
            return answer.status

    async def get(self, path: str) -> str:
        """Return a page that must be there."""
        async with self.session.get(yarl.URL(self.url + path, encoded=True)) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.text()

    async def post(self, path: str, content: dict[str, str], **headers: str) -> tuple[int, str]:
        """Send a form as the desk's page does; return status and text of the answer, redirects not followed."""
        named = {"Origin": self.url} | {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.post(self.url + path, data=content, headers=named, allow_redirects=False) as answer:
            return answer.status, await answer.text()

    async def after(self, seconds: float) -> None:
        """Let time pass and make a round."""
        self.world.now += seconds
        await self.desk.round()


@asynccontextmanager
async def running(folder: Path, world: World | None = None, **changes: Any) -> AsyncIterator[Running]:
    """Run a desk below a folder; what it kept there before is there again."""
    world = world or World()
    alertmanager = await alertmanager_of(world)
    file = write(folder, {"alertmanager": {"urls": world.url}, **changes})
    instruments = Instruments(CollectorRegistry(), "incident_desk")
    reloader = Reloader(lambda: load_settings(file), instruments)
    store = Store(reloader.current.desk.database)
    async with aiohttp.ClientSession() as session, aiohttp.ClientSession() as browser:
        desk = Desk(reloader.current, store, session, Numbers(instruments), lambda: world.now)
        instruments.registry.register(Times(store))
        reloader.on_change(desk.apply)
        await desk.apply(reloader.current)
        server = await serve(make_app(desk, instruments, reloader), drain_seconds=0.1)
        try:
            yield Running(desk, world, server.url, folder, browser)
        finally:
            await server.close()
            await alertmanager.close()
            store.close()


async def alertmanager_of(world: World) -> Server:
    """Start a world's Alertmanager."""
    app = web.Application()
    app.router.add_route("*", "/api/v2/alerts", world.handle)
    app.router.add_get("/api/v2/alerts/groups", world.handle_groups)
    server = await serve(app, drain_seconds=0.1)
    world.url = server.url
    return server


@contextmanager
def full_disk(file: Path) -> Iterator[None]:
    """Let no file of this process grow beyond a database and its journal, which stand for a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(each.stat().st_size for each in file.parent.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def post(url: str, content: Any = None) -> None:
    """Send JSON that must be taken."""
    async with aiohttp.ClientSession() as session, session.post(url, json=content) as answer:
        assert answer.status == 200, await answer.text()


async def until(desk: Running, condition: Callable[[], Any]) -> None:
    """Make rounds by the real time until something holds."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        desk.world.now = time.time()
        await desk.desk.round()


async def told(desk: Running, *alerts: Alert) -> None:
    """Let Alertmanager hold alerts and tell the desk of them."""
    desk.world.held |= {each.fingerprint: "active" for each in alerts}
    assert await desk.send(notification(*alerts)) == 200


async def ended(desk: Running, *alerts: Alert) -> None:
    """Let alerts end at Alertmanager, and tell the desk."""
    for each in alerts:
        desk.world.held.pop(each.fingerprint)
    assert await desk.send(notification(*alerts)) == 200


def stages(desk: Running) -> list[str]:
    """Return the stages that have begun."""
    return [each.stage for incident in desk.desk.store.newest(10) for each in incident.stages]


async def value(desk: Running, series: str) -> float:
    """Return what the desk's metrics say."""
    found = re.search(rf"^{re.escape(series)} (\S+)$", await desk.get("/metrics"), re.MULTILINE)
    assert found, series
    return float(found[1])


def write(folder: Path, changes: dict[str, Any]) -> Path:
    """Write a configuration and what it names; return its file."""
    for name in ("webhook_token", "acknowledge_token"):
        (folder / name).write_text(TOKEN if name == "webhook_token" else "for programs")
        (folder / name).chmod(0o600)
    (folder / "escalation.yaml").write_text(yaml.safe_dump({"escalations": STAGES}))
    config = {
        "database": "state/incidents.db",
        "public_url": "http://localhost:9822",
        "escalation": "escalation.yaml",
        "webhook": {"token_file": "webhook_token"},
        **changes,
    }
    (folder / "desk.yaml").write_text(yaml.safe_dump(config))
    return folder / "desk.yaml"
