"""An incident: one alert from its first message to its end, and what each message about it changes. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from contract.fields import parse_duration
from contract.vocabulary import Escalation, Severity
from rules.conventions import CONDITION_HELD

SKEW_SECONDS = 1.0
"""Clocks that differ by no more are taken to agree."""


@dataclass(frozen=True)
class Alert:
    """One alert as Alertmanager tells it; times are Unix seconds."""

    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    started: float
    """Infinite where it cannot be read."""
    ended: float | None = None
    """None while it fires."""
    is_suppressed: bool = False
    """Silenced, inhibited or muted: nobody is told now. A webhook never tells of these."""
    receivers: tuple[str, ...] = ()
    """Who is told; a webhook does not say."""

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return _severity(self.labels)


@dataclass(frozen=True)
class Begun:
    """A stage of escalation that has begun."""

    stage: str
    channels: tuple[str, ...]
    at: float
    waited: float
    """For how many seconds nobody had acknowledged then."""
    is_live: bool = True
    """Whether Alertmanager may still hold it as firing."""


@dataclass(frozen=True)
class Incident:
    """One incident; times are Unix seconds by the desk's clock."""

    fingerprint: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    started: float
    """When the alert first began to fire."""
    fired: float
    """When it last did, as Alertmanager says: what has ended before that is no news."""
    opened: float
    """When the desk was told, which is when people were."""
    clock: float
    """From when escalation counts: `opened`, or the end of the last silence."""
    paused: float = 0.0
    """Seconds since then for which nobody was waited for, because the alert had ended."""
    away: float = 0.0
    """Seconds since `started` in which the alert had ended."""
    is_found: bool = False
    """Found firing at a start of the desk: when people were told is not known."""
    told: tuple[str, ...] = ()
    """The receivers that were told first."""
    acknowledged: float | None = None
    acknowledged_by: str = ""
    resolved: float | None = None
    is_suppressed: bool = False
    returns: int = 0
    """How often it came back within the grace."""
    stages: tuple[Begun, ...] = ()
    id: int = 0

    @property
    def name(self) -> str:
        """The alert's name."""
        return self.labels.get("alertname", "unnamed")

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return _severity(self.labels)

    @property
    def escalation(self) -> str:
        """The escalation policy; none where the alert names none."""
        return self.labels.get("escalation", Escalation.NONE.value)

    @property
    def is_open(self) -> bool:
        """Whether it has not been resolved."""
        return self.resolved is None

    def lasted(self, now: float) -> float:
        """Return how long it lasted, or has so far, from its first start."""
        return max((now if self.resolved is None else self.resolved) - self.started, 0.0)

    def fired_for(self, now: float) -> float:
        """Return for how long of that the alert fired."""
        return max(self.lasted(now) - self.away, 0.0)

    def waited(self, now: float) -> float:
        """Return for how long nobody has acknowledged while the alert fired and was not silenced."""
        return max(now - self.clock - self.paused, 0.0)

    @property
    def began(self) -> float:
        """When its condition was first seen: before the alert, by as long as its policy waits (`for`)."""
        try:
            return self.started - parse_duration(self.annotations.get(CONDITION_HELD, "0s"))
        except ValueError:
            return self.started

    @property
    def detected_after(self) -> float | None:
        """How long from when the condition was first seen until people were told; None where it is not known."""
        return None if self.is_found else self.opened - self.began

    @property
    def acknowledged_after(self) -> float | None:
        """How long people took from when they were told; None where nobody has, or it is not known when they were."""
        return None if self.acknowledged is None or self.is_found else self.acknowledged - self.opened

    @property
    def waits(self) -> bool:
        """Whether somebody has to take it on: open, not acknowledged, not silenced."""
        return self.is_open and self.acknowledged is None and not self.is_suppressed


def follow(last: Incident | None, alert: Alert, now: float, grace: float) -> Incident | None:
    """Return what an alert makes of the last incident of its fingerprint; None when it says nothing new.

    What comes back within the grace, or was never away, goes on as the same incident, acknowledgement included; the
    time in between counts neither for escalation nor as time in which it fired.
    """
    if alert.ended is not None:
        # A start may go back: of several Prometheis that send the alert, Alertmanager keeps the earliest.
        is_about_it = last is not None and last.is_open and max(alert.started, alert.ended) >= last.fired
        return resolved(last, alert.ended, now) if last and is_about_it else None
    if last is None:
        return _opened(alert, now)
    if last.is_open:
        fresh = replace(last, annotations=alert.annotations, fired=max(last.fired, min(alert.started, now)))
        return fresh if fresh != last else None
    ended = last.resolved if last.resolved is not None else now
    if now - ended <= grace or alert.started <= last.fired:
        return replace(
            last,
            resolved=None,
            annotations=alert.annotations,
            fired=max(last.fired, min(alert.started, now)),
            paused=last.paused + max(now - ended, 0.0),
            away=last.away + max(min(alert.started, now) - ended, 0.0),
            returns=last.returns + 1,
        )
    return _opened(alert, now)


def is_late(last: Incident | None, alert: Alert) -> bool:
    """Whether an alert that fires may tell of the time before its incident ended; Alertmanager's list knows."""
    return last is not None and not last.is_open and alert.ended is None and alert.started <= last.fired


def resolved(incident: Incident, ended: float, now: float) -> Incident:
    """Return an incident at its end; an impossible time becomes the nearest possible one."""
    return replace(incident, resolved=max(min(ended, now), incident.started))


def acknowledged(incident: Incident, by: str, now: float) -> Incident | None:
    """Return an incident that somebody takes on; None when it has ended or somebody has already.

    A clock that went back is taken to have stood still.
    """
    if not incident.is_open or incident.acknowledged is not None:
        return None
    return replace(incident, acknowledged=max(now, incident.opened), acknowledged_by=by)


def observed(incident: Incident, alert: Alert, now: float) -> Incident:
    """Return an open incident as Alertmanager holds its alert now: when a silence ends, escalation counts anew.

    So it does when the clock has been put back.
    """
    has_spoken_up = incident.is_suppressed and not alert.is_suppressed
    clock = now if has_spoken_up else min(incident.clock, now)
    return replace(
        incident,
        is_suppressed=alert.is_suppressed,
        clock=clock,
        paused=0.0 if has_spoken_up else min(incident.paused, now - clock),
        told=incident.told or alert.receivers,
    )


def is_skewed(alert: Alert, now: float) -> bool:
    """Whether the alert's times are impossible by our clock."""
    ended = now if alert.ended is None else alert.ended
    return alert.started > now + SKEW_SECONDS or ended > now + SKEW_SECONDS or ended < alert.started - SKEW_SECONDS


def _severity(labels: Mapping[str, str]) -> Severity:
    """Return a severity; minor where an alert does not say it in our words."""
    word = labels.get("severity", "")
    return Severity(word) if word in set(Severity) else Severity.MINOR


def _opened(alert: Alert, now: float) -> Incident:
    started = min(alert.started, now)
    return Incident(
        fingerprint=alert.fingerprint,
        labels=alert.labels,
        annotations=alert.annotations,
        started=started,
        fired=started,
        opened=now,
        clock=now,
        told=alert.receivers,
    )
