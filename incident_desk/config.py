"""The desk's configuration: where it keeps incidents, whom it asks, and who may acknowledge."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from contract import networks
from contract.config import Finding, Loaded, Model, load
from contract.fields import Duration, HttpUrl, PositiveDuration, RelativePath, SecretFile, format_duration
from incident_desk.escalation import LIVES_SECONDS
from rules import escalation
from rules.escalation import Escalations

LOOPBACK = ("127.0.0.0/8", "::1/128")


def _split(value: object) -> object:
    return value.split() if isinstance(value, str) else value


def _without_slash(urls: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(url.rstrip("/") for url in urls))


def _network(value: object) -> object:
    if isinstance(value, networks.Network):
        return value
    try:
        return ipaddress.ip_network(str(value))
    except ValueError as error:
        raise ValueError(f"{value!r} is not a network: {error}; write 10.0.0.0/8") from None


Networks = Annotated[tuple[Annotated[networks.Network, BeforeValidator(_network)], ...], BeforeValidator(_split)]
"""Networks as a list, or in one text with blanks between them, as an environment variable holds them."""


Urls = Annotated[tuple[HttpUrl, ...], BeforeValidator(_split), AfterValidator(_without_slash), Field(min_length=1)]
"""URLs as a list, or in one text with blanks between them; what is appended begins with a slash."""


class Webhook(Model):
    """How Alertmanager tells the desk."""

    token_file: SecretFile
    max_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)


class Alertmanager(Model):
    """The Alertmanager that is asked for the state of alerts and told of escalations, or all members of a cluster."""

    urls: Urls
    public_url: HttpUrl | None = None
    receiver: str = "incident-desk"
    """The desk's own name among the receivers."""
    interval: PositiveDuration = 15.0
    timeout: PositiveDuration = 10.0


class Identity(Model):
    """Proxies that say who somebody is, as the auth sidecar's forward-auth answers do."""

    trusted_proxies: Networks = Field(min_length=1)
    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")] = "X-Auth-Subject"


class Acknowledge(Model):
    """Who may acknowledge; whoever is in none of these may only look."""

    everybody_from: Networks = tuple(ipaddress.ip_network(text) for text in LOOPBACK)
    """Networks from which anybody may, by the name that he gives."""
    identity: Identity | None = None
    token_file: SecretFile | None = None
    """A bearer token with which programs may, for whom they name."""


class DeskConfig(Model):
    """The whole file."""

    database: RelativePath
    public_url: HttpUrl
    """Where people's browsers find the desk."""
    escalation: RelativePath
    webhook: Webhook
    alertmanager: Alertmanager
    acknowledge: Acknowledge = Acknowledge()
    grace: Duration = 600.0
    """What comes back within this time goes on as the same incident."""
    missing_after: Duration = 120.0
    """An alert that Alertmanager has not known for so long has ended, whether or not it said so."""
    keep: PositiveDuration = 365 * 86400.0
    """How long ended incidents are kept."""
    links: dict[str, HttpUrl] = {}


class Settings(Model):
    """Everything that the desk goes by."""

    desk: DeskConfig
    escalations: Escalations


def check(config: DeskConfig) -> Iterator[Finding]:
    """Yield what no field can know by itself."""
    api, allowed = config.alertmanager, config.acknowledge
    # Between two words of an escalation each Alertmanager may be asked in vain, for two answers, and be told in vain.
    longest = api.interval + (2 * len(api.urls) + 1) * api.timeout
    if longest >= LIVES_SECONDS:
        message = f"up to {format_duration(longest)} pass between two looks, time-outs included"
        mend = f"keep interval and timeout so short that it is less than {format_duration(LIVES_SECONDS)}"
        yield Finding(("alertmanager", "interval"), f"{message}, and escalations would end between them", mend)
    if config.database.is_dir():
        yield Finding(("database",), f"{config.database} is a folder", "name a file in it: incidents.db")
    if allowed.identity and any(network.prefixlen == 0 for network in allowed.identity.trusted_proxies):
        location = ("acknowledge", "identity", "trusted_proxies")
        yield Finding(location, "everybody is trusted to say who he is", "name the proxies alone: 10.0.0.5/32")
    if any(network.prefixlen == 0 for network in allowed.everybody_from):
        message = "whoever reaches the desk may acknowledge, by any name"
        mend = "name networks of people, or let a proxy say who somebody is"
        yield Finding(("acknowledge", "everybody_from"), message, mend, is_warning=True)
    if allowed.token_file and allowed.token_file.read() == config.webhook.token_file.read():
        mend = "make another: whoever has one has both rights"
        yield Finding(("acknowledge", "token_file"), "the same token as the webhook's", mend)


def load_settings(file: Path) -> Loaded[Settings]:
    """Read the file and the stages of escalation that it names; raises ConfigError."""
    loaded = load(file, DeskConfig, check)
    stages = escalation.read(loaded.config.escalation)
    return Loaded(Settings(desk=loaded.config, escalations=stages), loaded.warnings)
