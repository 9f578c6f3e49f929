"""Limits for those who try too often: lockout after failures and a request rate, each in bounded memory."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

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


@dataclass(slots=True)
class _Record:
    started: float
    failures: int
    locked_until: float = 0.0


class Lockout:
    """Counts failures a client; whoever is locked out may still use a token that was verified before."""

    def __init__(self, rules: LockoutRules, instruments: Instruments, clock: Callable[[], float]) -> None:
        """Take a monotonic clock in seconds."""
        self.rules = rules
        self._clock = clock
        self._clients: OrderedDict[str, _Record] = OrderedDict()
        self._lockouts = instruments.counter("mcp_auth_lockouts_total")
        instruments.gauge("mcp_auth_locked_clients").set_function(self.locked_clients)

    def is_locked(self, client: str) -> bool:
        """Whether the client is locked out now."""
        record = self._clients.get(client)
        return record is not None and record.locked_until > self._clock()

    def failed(self, client: str) -> None:
        """Count a failure; the longest quiet client is forgotten when there is no room."""
        if not self.rules.failures:
            return
        now = self._clock()
        record = self._clients.pop(client, None)
        if record is None or (now - record.started > self.rules.window_seconds and record.locked_until <= now):
            record = _Record(now, 0)
        record.failures += 1
        if record.failures >= self.rules.failures and record.locked_until <= now:
            record.locked_until = now + self.rules.duration_seconds
            record.started, record.failures = now, 0
            self._lockouts.inc()
        if len(self._clients) >= self.rules.max_clients:
            self._clients.popitem(last=False)
        self._clients[client] = record

    def locked_clients(self) -> int:
        """Return how many clients are locked out now."""
        now = self._clock()
        return sum(record.locked_until > now for record in self._clients.values())


class RateLimit:
    """A token bucket for each client; the longest quiet client is forgotten when there is no room."""

    def __init__(self, rules: RateRules | None, clock: Callable[[], float]) -> None:
        """Take a monotonic clock in seconds; without rules everybody may."""
        self.rules = rules
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admits(self, client: str) -> bool:
        """Take one request out of the client's bucket, if there is one."""
        if self.rules is None:
            return True
        now = self._clock()
        left, since = self._buckets.pop(client, (self.rules.burst, now))
        left = min(self.rules.burst, left + (now - since) * self.rules.per_second)
        is_admitted = left >= 1
        if len(self._buckets) >= self.rules.max_clients:
            self._buckets.popitem(last=False)
        self._buckets[client] = (left - is_admitted, now)
        return is_admitted
