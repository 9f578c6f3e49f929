"""The running desk without its HTTP side: takes what is told, watches what Alertmanager holds, escalates."""

import asyncio
import logging
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import aiohttp

from contract.vocabulary import Severity
from incident_desk import escalation
from incident_desk.alertmanager_api import Alertmanagers, UnreachableError
from incident_desk.alerts import Odd
from incident_desk.config import Settings
from incident_desk.incident import (
    SKEW_SECONDS,
    Alert,
    Begun,
    Incident,
    acknowledged,
    follow,
    is_late,
    is_skewed,
    observed,
    resolved,
)
from incident_desk.numbers import Numbers
from incident_desk.store import Store, StoreError
from incident_desk.times import ACKNOWLEDGE, DETECT, RESOLVE, measure

logger = logging.getLogger(__name__)

SETTLED_SECONDS = {Severity.CRITICAL: 120.0, Severity.MAJOR: 360.0, Severity.MINOR: 960.0, Severity.INFO: 960.0}
"""How old an alert is when people have been told of it for certain, also one that joined a group which had just spoken:
the longest wait of the generated routes, and a minute."""
NOBODY = "nobody"
"""The receiver of what reaches no person."""
MAX_NOTED = 1000
"""Kinds of odd alerts beyond which more are counted and no longer logged."""


class Desk:
    """Every incident, and what is to be done about it."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        session: aiohttp.ClientSession,
        numbers: Numbers,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.store = store
        self.clock = clock
        self.numbers = numbers
        self.problem = ""
        """Why Alertmanager could not be asked or told last time."""
        self.unwritten = ""
        """Why the database could not be used last time."""
        self.has_asked = False
        self._alertmanagers = Alertmanagers(session)
        self._missing: dict[int, float] = {}
        self._noted: set[Odd] = set()
        self._found: frozenset[str] | None = None
        """What was there at the first look, not told of, and may have to be taken over."""
        self._news = asyncio.Event()
        self.numbers.are_open(store.open())

    async def apply(self, settings: Settings) -> None:
        """Put a configuration into force; the database stays where it was opened."""
        self.settings = settings
        self.numbers.know(settings.escalations)
        self._news.set()

    def take(self, alerts: Iterable[Alert], *, is_found: bool = False) -> None:
        """Keep what alerts say; `is_found` where they were read, not told. On return it is on disk."""
        now, alerts = self.clock(), tuple(alerts)
        with self._noting(), self.store.transaction():
            for alert in alerts:
                last = self.store.last(alert.fingerprint)
                if is_late(last, alert) and not is_found:
                    continue
                changed = follow(last, self._without_own(alert), now, self.settings.desk.grace)
                if changed and changed.id:
                    self.store.save(changed)
                elif changed:
                    opened = self.store.save(replace(changed, is_found=is_found))
                    measure(self.store, DETECT, opened, opened.detected_after)
        for _ in filter(lambda alert: is_skewed(alert, now), alerts):
            self.numbers.clamped()
        self.numbers.are_open(self.store.open())
        self._news.set()

    def note(self, odd: Iterable[Odd]) -> None:
        """Count alerts of which not everything was taken, and log each kind once."""
        for each in odd:
            self.numbers.odd(each.handling)
            if each not in self._noted and len(self._noted) < MAX_NOTED:
                self._noted.add(each)
                logger.warning("an alert is not as Alertmanager sends it", extra=each._asdict())

    def acknowledge(self, identities: Iterable[int], by: str) -> list[Incident]:
        """Note who takes incidents on; return those that nobody had yet. On return it is on disk."""
        now, taken = self.clock(), []
        with self._noting(), self.store.transaction():
            for identity in identities:
                incident = self.store.get(identity)
                changed = acknowledged(incident, by, now) if incident else None
                if changed:
                    taken.append(self.store.save(changed))
                    measure(self.store, ACKNOWLEDGE, changed, changed.acknowledged_after)
        for incident in taken:
            if incident.opened > now + SKEW_SECONDS:
                self.numbers.clamped()
        self._news.set()
        return taken

    async def run(self) -> None:
        """Ask, judge and escalate again and again; at once when there is news."""
        while True:
            self._news.clear()
            try:
                await self.round()
            except Exception:
                logger.exception("a round failed; the next one tries again")
            try:
                async with asyncio.timeout(self.settings.desk.alertmanager.interval):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def round(self) -> None:
        """Look once at what Alertmanager holds and tell it what is due, also when it could not be asked."""
        problems = list[str]()
        for part in (self._look, self._tell, self._settle):
            try:
                with self._noting():
                    await part()
            except UnreachableError as error:
                problems.append(str(error))
            except StoreError:
                continue
        self.problem = "; ".join(problems)

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Note and count what the database refuses, and log it when it begins."""
        try:
            yield
        except StoreError as error:
            if str(error) != self.unwritten:
                logger.error("the database cannot be used", extra={"problem": str(error)})
            self.unwritten = str(error)
            self.numbers.unwritten()
            raise

    async def _look(self) -> None:
        asked = self.clock()
        try:
            read = await self._counted("read", self._alertmanagers.read(self.settings.desk.alertmanager))
        finally:
            self.has_asked = True
        self.note(read.odd)
        self._look_back(read.alerts, asked)
        held = {alert.fingerprint: self._without_own(alert) for alert in read.alerts}
        self._begin(self._watch(held), held)

    async def _counted(self, request: str, answer: Any) -> Any:
        try:
            found = await answer
        except UnreachableError:
            self.numbers.requested(request, succeeded=False)
            raise
        self.numbers.requested(request, succeeded=True)
        return found

    def _look_back(self, held: Iterable[Alert], asked: float) -> None:
        """Take over what people were told of and the desk was not: before its start, or after it took it for ended."""
        own = self.settings.desk.alertmanager.receiver
        known = {incident.fingerprint for incident in self.store.open()}
        heard = (each for each in held if own in each.receivers and not each.is_suppressed)
        told = {each.fingerprint: each for each in heard if each.fingerprint not in known}
        self._found = frozenset(told) if self._found is None else self._found & told.keys()
        missed = [each for each in told.values() if self._was_missed(each, asked)]
        if missed:
            self.take(missed, is_found=True)

    def _was_missed(self, alert: Alert, asked: float) -> bool:
        was_there = (
            alert.fingerprint in (self._found or ()) and asked - alert.started >= SETTLED_SECONDS[alert.severity]
        )
        last = self.store.last(alert.fingerprint)
        if last is None or last.resolved is None:
            return was_there
        # What ended after the question was asked may still stand in its answer.
        return last.resolved < asked and (alert.started <= last.fired or was_there)

    def _watch(self, held: Mapping[str, Alert]) -> list[Incident]:
        """Note which open incidents are silenced, end those that Alertmanager no longer knows, return the others."""
        now, missing, left = self.clock(), {}, []
        with self.store.transaction():
            for incident in self.store.open():
                alert = held.get(incident.fingerprint)
                if alert:
                    changed = observed(incident, alert, now)
                else:
                    missing[incident.id] = since = min(self._missing.get(incident.id, now), now)
                    is_over = now - since >= self.settings.desk.missing_after
                    changed = resolved(incident, since, now) if is_over else incident
                if changed != incident:
                    self.store.save(changed)
                left += [changed] if changed.is_open else []
        self._missing = missing
        self.numbers.are_open(left)
        return left

    def _begin(self, incidents: Iterable[Incident], held: Container[str]) -> None:
        """Begin the stages that are due; they are on disk before anybody is told."""
        now, begun = self.clock(), list[tuple[Incident, str]]()
        with self.store.transaction():
            for incident in incidents:
                for stage in incident.stages:
                    if not stage.is_live and escalation.is_due(incident, stage):
                        self.store.save_stage(incident, replace(stage, is_live=True))
                due = escalation.next_due(incident, self.settings.escalations.stages(incident.escalation))
                if due and due.at <= now and incident.fingerprint in held:
                    begins = Begun(due.stage.name, due.stage.channels, now, incident.waited(now))
                    self.store.save_stage(incident, begins)
                    begun.append((incident, due.stage.name))
        for incident, name in begun:
            self.numbers.escalated(incident, name)
            logger.info("escalated", extra={"incident": incident.id, "alert": incident.name, "stage": name})

    async def _tell(self) -> None:
        """Tell Alertmanager of every stage that is due, and of the end of those that no longer are."""
        now, public_url = self.clock(), self.settings.desk.public_url
        live = [(incident, each) for incident in self.store.escalated() for each in incident.stages if each.is_live]
        if not live:
            return
        told = [escalation.alert(incident, begun, public_url, now) for incident, begun in live]
        await self._counted("post", self._alertmanagers.post(self.settings.desk.alertmanager, told))
        with self.store.transaction():
            for incident, begun in (each for each in live if not escalation.is_due(*each)):
                self.store.save_stage(incident, replace(begun, is_live=False))

    async def _settle(self) -> None:
        """Count what has ended and not come back, forget what is too old to be kept, see whether more can be."""
        now, config = self.clock(), self.settings.desk
        self.store.try_writing(much=bool(self.unwritten))
        if self.unwritten:
            logger.info("the database can be used again")
        self.unwritten = ""
        with self.store.transaction():
            for incident in self.store.take_uncounted(now - config.grace):
                measure(self.store, RESOLVE, incident, incident.lasted(now))
            self.store.forget(now - config.keep)

    def _without_own(self, alert: Alert) -> Alert:
        """Return an alert with the receivers that are people."""
        own = (self.settings.desk.alertmanager.receiver, NOBODY)
        return replace(alert, receivers=tuple(name for name in alert.receivers if name not in own))
