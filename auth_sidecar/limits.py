"""Limits for those who try too often: lockout after failures and a request rate, each in bounded memory."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from contract.instruments import Instruments


@dataclass(frozen=True)
class LockoutRules:
    """So many failures within the window lock a client out for the duration; 0 failures turn it off."""

    failures: int = 0
    window_seconds: float = 300.0
    duration_seconds: float = 300.0
    max_clients: int = 10_000


@dataclass(frozen=True)
class RateRules:
    """So many requests a second on the average and so many at once."""

    per_second: float
    burst: float
    max_clients: int = 10_000


@lru_cache(maxsize=4096)
def client_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


Record = tuple[float, float, float]
"""What a limit remembers of one client."""


class Table(Protocol):
    """Where records of clients are, in bounded memory: of this process, or shared by several."""

    def get(self, key: str) -> Record | None:
        """Return a record."""

    def update(self, key: str, change: Callable[[Record | None], Record], room: int) -> Record:
        """Replace a record by what `change` makes of it; the longest quiet one goes beyond so many."""

    def records(self) -> Iterable[Record]:
        """Return all records."""


class LocalTable:
    """The records of one process."""

    def __init__(self) -> None:
        self._records: OrderedDict[str, Record] = OrderedDict()

    def get(self, key: str) -> Record | None:
        """Return a record."""
        return self._records.get(key)

    def update(self, key: str, change: Callable[[Record | None], Record], room: int) -> Record:
        """Replace a record by what `change` makes of it; the longest quiet one goes beyond so many."""
        record = change(self._records.pop(key, None))
        if len(self._records) >= room:
            self._records.popitem(last=False)
        self._records[key] = record
        return record

    def records(self) -> Iterable[Record]:
        """Return all records."""
        return self._records.values()


class Lockout:
    """Counts failures a client; whoever is locked out may still use a token that was verified before.

    A record is when counting began, how many failures there were, and until when the client is locked out.
    """

    def __init__(
        self, rules: LockoutRules, instruments: Instruments, clock: Callable[[], float], table: Table | None = None
    ) -> None:
        """Take a monotonic clock in seconds; without a table the records are this process' own."""
        self.rules = rules
        self._clock = clock
        self._table = table or LocalTable()
        self._lockouts = instruments.counter("mcp_auth_lockouts_total")
        instruments.gauge("mcp_auth_locked_clients").set_function(self.locked_clients)

    def is_locked(self, client: str) -> bool:
        """Whether the client is locked out now."""
        record = self._table.get(client)
        return record is not None and record[2] > self._clock()

    def failed(self, client: str) -> None:
        """Count a failure."""
        rules, now = self.rules, self._clock()
        if not rules.failures:
            return

        def counted(record: Record | None) -> Record:
            started, failures, locked_until = record or (now, 0.0, 0.0)
            if now - started > rules.window_seconds and locked_until <= now:
                started, failures, locked_until = now, 0.0, 0.0
            if failures + 1 < rules.failures or locked_until > now:
                return started, failures + 1, locked_until
            self._lockouts.inc()
            return now, 0.0, now + rules.duration_seconds

        self._table.update(client, counted, rules.max_clients)

    def locked_clients(self) -> int:
        """Return how many clients are locked out now."""
        now = self._clock()
        return sum(record[2] > now for record in self._table.records())


class RateLimit:
    """A token bucket for each client: how much is left in it, since when, and whether the last one was admitted."""

    def __init__(self, rules: RateRules | None, clock: Callable[[], float], table: Table | None = None) -> None:
        """Take a monotonic clock in seconds; without rules everybody may."""
        self.rules = rules
        self._clock = clock
        self._table = table or LocalTable()

    def admits(self, client: str) -> bool:
        """Take one request out of the client's bucket, if there is one."""
        rules, now = self.rules, self._clock()
        if rules is None:
            return True

        def taken(record: Record | None) -> Record:
            left, since, _ = record or (rules.burst, now, 0.0)
            left = min(rules.burst, left + (now - since) * rules.per_second)
            is_admitted = left >= 1
            return left - is_admitted, now, float(is_admitted)

        return bool(self._table.update(client, taken, rules.max_clients)[2])
