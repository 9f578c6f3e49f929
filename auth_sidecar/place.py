"""The place of a worker: which one it is, what it inherits from the supervisor, and the configuration in force."""

import os
import pickle
import secrets
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from auth_sidecar.config import Rate, Settings
from auth_sidecar.shared_table import SharedTable
from contract.config import Loaded

_SIZE = struct.Struct("!Q")


class Birth(NamedTuple):
    """What a new worker is told; files are numbers that it inherits."""

    number: int
    settings: Settings
    traffic: int
    forward: int
    """-1 where there is no forward-auth."""
    lockouts: int
    rates: int
    secret: bytes

    @property
    def files(self) -> tuple[int, ...]:
        """The files to be inherited."""
        return tuple(file for file in (self.traffic, self.forward, self.lockouts, self.rates) if file >= 0)

    def send(self, connection: socket.socket) -> None:
        """Tell it over a connected socket."""
        told = pickle.dumps(self)
        connection.sendall(_SIZE.pack(len(told)) + told)


def receive(connection: socket.socket) -> Birth:
    """Return what the supervisor tells; nobody else holds the other end of this socket."""
    (size,) = _SIZE.unpack(_exactly(connection, _SIZE.size))
    birth: Birth = pickle.loads(_exactly(connection, size))  # noqa: S301 - from our own parent
    return birth


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise EOFError("the supervisor has gone")
        data += more
    return data


@dataclass
class Place:
    """Where a worker stands among the others; `settings` may be replaced, and are read at the next reload."""

    number: int
    """From 1 on; names its audit chain."""
    settings: Settings
    traffic: socket.socket
    forward: socket.socket | None
    lockouts: SharedTable
    rates: SharedTable

    @classmethod
    def of(cls, birth: Birth) -> "Place":
        """Take up what was inherited."""
        return cls(
            birth.number,
            birth.settings,
            socket.socket(fileno=birth.traffic),
            socket.socket(fileno=birth.forward) if birth.forward >= 0 else None,
            SharedTable(birth.lockouts, birth.secret, time.monotonic),
            SharedTable(birth.rates, birth.secret, time.monotonic),
        )

    def read(self) -> Loaded[Settings]:
        """Return the configuration that the supervisor has handed over last."""
        return Loaded(self.settings)


class Listeners:
    """A socket a worker that listen on one port, among which the kernel spreads connections; port 0 is a free one."""

    def __init__(self, host: str, port: int, count: int) -> None:
        """Listen; raises OSError when the port is not ours alone, which the sockets themselves would not find out."""
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as alone:
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(address)
            self._address = alone.getsockname()
        self._family = family
        self.port: int = self._address[1]
        self._sockets: dict[int, socket.socket] = {}
        for number in range(1, count + 1):
            self.file(number)

    def file(self, number: int) -> int:
        """Return the file of a worker's socket, which listens again if it was withdrawn. Raises OSError."""
        if number not in self._sockets:
            listener = socket.socket(self._family)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                listener.bind(self._address)
                listener.listen(1024)
            except OSError:
                listener.close()
                raise
            self._sockets[number] = listener
        return self._sockets[number].fileno()

    def withdraw(self, number: int) -> None:
        """Have the kernel send a worker's connections to the others."""
        if number in self._sockets:
            self._sockets.pop(number).close()

    def close(self) -> None:
        """Let go of all sockets; the workers have theirs."""
        for number in [*self._sockets]:
            self.withdraw(number)


class Shared:
    """What all workers of a supervisor have together: the ports, and the tables of the limits."""

    def __init__(self, settings: Settings, traffic: Listeners, forward: Listeners | None) -> None:
        """Make the tables."""
        limits = settings.sidecar.limits
        self._traffic, self._forward = traffic, forward
        self._lockouts = SharedTable.create(limits.lockout.max_clients)
        self._rates = SharedTable.create(
            limits.rate.max_clients if limits.rate else Rate.model_fields["max_clients"].default
        )
        self._secret = secrets.token_bytes(32)

    def close(self) -> None:
        """Let go of everything; the workers have theirs."""
        for listeners in self._listeners():
            listeners.close()
        os.close(self._lockouts)
        os.close(self._rates)

    def birth(self, number: int, settings: Settings) -> Birth:
        """Return what a worker is to be told. Raises OSError when it cannot listen."""
        forward = self._forward.file(number) if self._forward else -1
        traffic = self._traffic.file(number)
        return Birth(number, settings, traffic, forward, self._lockouts, self._rates, self._secret)

    def withdraw(self, number: int) -> None:
        """Have connections go to the other workers until this one is born again."""
        for listeners in self._listeners():
            listeners.withdraw(number)

    def _listeners(self) -> Iterator[Listeners]:
        return filter(None, (self._traffic, self._forward))
