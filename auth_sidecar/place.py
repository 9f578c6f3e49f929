"""The place of a worker: which one it is, what it inherits from the supervisor, and the configuration in force."""

import os
import pickle
import secrets
import socket
import struct
import time
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


class Shared:
    """What all workers of a supervisor have together: a socket each on one port, and the tables of the limits."""

    def __init__(self, settings: Settings, traffic: list[socket.socket], forward: list[socket.socket]) -> None:
        """Make the tables; the sockets of both ports are one for each worker, or none."""
        limits = settings.sidecar.limits
        self._traffic, self._forward = traffic, forward
        self._lockouts = SharedTable.create(limits.lockout.max_clients)
        self._rates = SharedTable.create(
            limits.rate.max_clients if limits.rate else Rate.model_fields["max_clients"].default
        )
        self._secret = secrets.token_bytes(32)

    def close(self) -> None:
        """Let go of everything; the workers have theirs."""
        for listener in (*self._traffic, *self._forward):
            listener.close()
        os.close(self._lockouts)
        os.close(self._rates)

    def birth(self, number: int, settings: Settings) -> Birth:
        """Return what a worker is to be told."""
        forward = self._forward[number - 1].fileno() if self._forward else -1
        traffic = self._traffic[number - 1].fileno()
        return Birth(number, settings, traffic, forward, self._lockouts, self._rates, self._secret)


def listeners(host: str, port: int, count: int) -> list[socket.socket]:
    """Return so many sockets that listen on one port, among which the kernel spreads connections; port 0 is a free one.

    Raises OSError when the port is not ours alone, which the sockets themselves would not find out.
    """
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as alone:
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        alone.bind(address)
        address = alone.getsockname()
    made = []
    for _ in range(count):
        made.append(socket.socket(family, kind))
        made[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made[-1].bind(address)
        made[-1].listen(1024)
    return made
