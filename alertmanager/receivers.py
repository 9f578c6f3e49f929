"""The receivers file: channels by name and how often each severity speaks. Secrets only as names of files."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import pydantic
from pydantic import AfterValidator, Field

from contract.config import Finding, Model
from contract.fields import HttpUrl, PositiveDuration
from contract.vocabulary import Severity
from rules.policy import Name

FOLDER = "/etc/alertmanager"
"""Where Alertmanager finds its configuration and secrets in a container; a native run translates it."""

_ADDRESS = re.compile(r"[^@\s,<>]+@[^@\s,<>]+")


def _check_secret(path: str) -> str:
    if not re.fullmatch(r"secrets/[A-Za-z0-9_][A-Za-z0-9_.-]*", path):
        raise ValueError(f"{path!r} is not a file of the secrets folder; write secrets/<name>")
    return f"{FOLDER}/{path}"


def _check_address(address: str) -> str:
    if not _ADDRESS.fullmatch(address):
        raise ValueError(f"{address!r} is not an e-mail address; write name@host")
    return address


def _require_one(addresses: tuple[str, ...]) -> tuple[str, ...]:
    # Not min_length: pydantic counts only the good ones, and would report a bad one twice.
    if not addresses:
        raise ValueError("nobody to write to; give at least one address")
    return addresses


SecretPath = Annotated[str, AfterValidator(_check_secret)]
"""A secret by the name of its file, made absolute: Alertmanager looks for a relative one where it happens to run."""
Address = Annotated[str, AfterValidator(_check_address)]


class Slack(Model):
    """A Slack channel, by an incoming webhook."""

    channel: Annotated[str, Field(pattern=r"^[#@].+")]
    api_url_file: SecretPath


class PagerDuty(Model):
    """A PagerDuty service, by Events API v2."""

    routing_key_file: SecretPath
    url: HttpUrl = "https://events.pagerduty.com/v2/enqueue"


class Email(Model):
    """People, by e-mail."""

    to: Annotated[tuple[Address, ...], AfterValidator(_require_one)]


class Webhook(Model):
    """A program that takes Alertmanager's JSON; a secret goes into the bearer token, never into the address."""

    url: HttpUrl
    token_file: SecretPath | None = None


_Clock = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)$")]
_KINDS = ("slack", "pagerduty", "email", "webhook")


class Interval(Model):
    """Part of the week or of a date: business hours, a maintenance window. What is left out is always."""

    times: tuple[_Clock, ...] = ()
    """"09:00-18:00"; an interval over midnight is two."""
    weekdays: tuple[str, ...] = ()
    """"monday:friday" """
    days_of_month: tuple[str, ...] = ()
    months: tuple[str, ...] = ()
    years: tuple[str, ...] = ()
    location: str = "UTC"
    """Time zone, such as Europe/Berlin."""


class Channel(Model):
    """Everything that is told when a policy names this channel."""

    slack: tuple[Slack, ...] = ()
    pagerduty: tuple[PagerDuty, ...] = ()
    email: tuple[Email, ...] = ()
    webhook: tuple[Webhook, ...] = ()
    only_during: tuple[Name, ...] = ()
    """Intervals outside of which all but critical alerts wait."""
    not_during: tuple[Name, ...] = ()
    """Intervals in which nothing is told, such as maintenance."""

    @pydantic.model_validator(mode="after")
    def _reaches_somebody(self) -> Any:
        if not any(getattr(self, name) for name in _KINDS):
            raise ValueError(f"the channel reaches nobody; give one of {', '.join(_KINDS)}")
        return self

    def secrets(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield where each secret is named, and its path."""
        for name in _KINDS:
            for index, target in enumerate(getattr(self, name)):
                for key in ("api_url_file", "routing_key_file", "token_file"):
                    if path := getattr(target, key, None):
                        yield (name, index, key), path


class Smtp(Model):
    """The mail server that all e-mail goes through."""

    smarthost: Annotated[str, Field(pattern=r"^[^:\s]+:\d+$")]
    sender: Address = Field(alias="from")
    require_tls: bool = True
    username: str | None = None
    password_file: SecretPath | None = None


class Timing(Model):
    """When a group of alerts speaks first, on change, and again."""

    group_wait: PositiveDuration
    group_interval: PositiveDuration
    repeat_interval: PositiveDuration

    @pydantic.model_validator(mode="after")
    def _repeats_on_a_beat(self) -> Any:
        if self.repeat_interval % self.group_interval:
            raise ValueError("repeat_interval is no multiple of group_interval; Alertmanager would repeat late")
        return self


def _timing(wait: float, interval: float, repeat: float) -> Timing:
    return Timing.model_construct(group_wait=wait, group_interval=interval, repeat_interval=repeat)


DEFAULT_TIMING: Mapping[Severity, Timing] = MappingProxyType(
    {
        Severity.CRITICAL: _timing(10, 60, 3600),
        Severity.MAJOR: _timing(30, 300, 4 * 3600),
        Severity.MINOR: _timing(300, 900, 24 * 3600),
        Severity.INFO: _timing(300, 900, 24 * 3600),
    }
)


class Receivers(Model):
    """The receivers file."""

    channels: dict[Name, Channel] = Field(min_length=1)
    fallback: Name
    """The channel of alerts that no policy knows: rules of one's own must not vanish."""
    incident_desk: Webhook | None = None
    """Is told of every alert that people are told of; without it there is neither history nor escalation."""
    smtp: Smtp | None = None
    intervals: dict[Name, tuple[Interval, ...]] = {}
    timing: dict[Severity, Timing] = {}

    def timing_of(self, severity: Severity) -> Timing:
        """Return how often a severity speaks."""
        return self.timing.get(severity, DEFAULT_TIMING[severity])

    def secrets(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield where each secret is named, and its path."""
        for name, channel in self.channels.items():
            for location, path in channel.secrets():
                yield ("channels", name, *location), path
        if self.incident_desk and self.incident_desk.token_file:
            yield ("incident_desk", "token_file"), self.incident_desk.token_file
        if self.smtp and self.smtp.password_file:
            yield ("smtp", "password_file"), self.smtp.password_file


def check(receivers: Receivers) -> Iterator[Finding]:
    """Find what the fields alone do not show."""
    if receivers.fallback not in receivers.channels:
        mend = f"name one of {', '.join(receivers.channels)}"
        yield Finding(("fallback",), f"unknown channel {receivers.fallback}", mend)
    for name, channel in receivers.channels.items():
        yield from _check_channel(name, channel, receivers)


def _check_channel(name: str, channel: Channel, receivers: Receivers) -> Iterator[Finding]:
    place = ("channels", name)
    if channel.email and receivers.smtp is None:
        yield Finding((*place, "email"), "no mail server to send by", "add smtp: {smarthost: …, from: …}")
    for key in ("only_during", "not_during"):
        for index, interval in enumerate(getattr(channel, key)):
            if interval not in receivers.intervals:
                yield Finding((*place, key, index), f"unknown interval {interval}", "define it in intervals")


def check_secrets(receivers: Receivers, folder: Path) -> Iterator[Finding]:
    """Find every named secret that is not a readable, filled file of the folder."""
    for location, path in receivers.secrets():
        file = folder / Path(path).name
        try:
            is_filled = bool(file.read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError):
            yield Finding(location, f"no secret at {file}", "write the secret into that file")
        else:
            if not is_filled:
                yield Finding(location, f"the secret at {file} is empty", "write the secret into that file")
