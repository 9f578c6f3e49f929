"""Numbers by client that several processes share: in memory of a fixed size, gone with the last of them.

Worker processes must count a client's tries together, or it would have as many times the tries as there are workers.
An entry has its place among the `WAYS` of its bucket; when all are taken the longest quiet one goes. A bucket is locked
while it is looked at; the kernel takes the lock from a process that dies.
"""

import fcntl
import hashlib
import mmap
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from auth_sidecar.limits import Record

WAYS = 8
_SLOT = struct.Struct("=Qdddd")
_BUCKET_BYTES = _SLOT.size * WAYS


class SharedTable:
    """Entries of three numbers; see `limits.Table`."""

    def __init__(self, file: int, secret: bytes, clock: Callable[[], float]) -> None:
        """Take what `create` returned, a secret that all processes know, and a clock that all of them share."""
        self.file = file
        self.secret = secret
        self._clock = clock
        self._memory = mmap.mmap(file, 0)
        self._buckets = len(self._memory) // _BUCKET_BYTES

    @staticmethod
    def create(entries: int) -> int:
        """Return a file in memory with room for so many entries, to be inherited by those who share it."""
        file = os.memfd_create("lookout-limits")
        os.ftruncate(file, -(-entries // WAYS) * _BUCKET_BYTES)
        return file

    def get(self, key: str) -> Record | None:
        """Return an entry."""
        number, start = self._place(key)
        with self._locked(start):
            return next((record for held, _, record in self._slots(start) if held == number), None)

    def update(self, key: str, change: Callable[[Record | None], Record], room: int) -> Record:
        """Replace an entry by what `change` makes of it, unseen by the others in between; `room` was fixed before."""
        del room
        number, start = self._place(key)
        with self._locked(start):
            slots = list(self._slots(start))
            found = next((slot for slot in slots if slot[0] == number), None)
            index = slots.index(found or min(slots, key=lambda slot: slot[1]))
            record = change(found[2] if found else None)
            _SLOT.pack_into(self._memory, start + index * _SLOT.size, number, self._clock(), *record)
        return record

    def records(self) -> Iterator[Record]:
        """Yield all entries, as they are at the moment."""
        for number, _, *record in _SLOT.iter_unpack(self._memory[:]):
            if number:
                yield (record[0], record[1], record[2])

    def _slots(self, start: int) -> Iterator[tuple[int, float, Record]]:
        for number, touched, a, b, c in _SLOT.iter_unpack(self._memory[start : start + _BUCKET_BYTES]):
            yield number, touched, (a, b, c)

    def _place(self, key: str) -> tuple[int, int]:
        digest = hashlib.blake2b(key.encode("utf-8", "replace"), key=self.secret, digest_size=16).digest()
        bucket = int.from_bytes(digest[8:], "big") % self._buckets
        return int.from_bytes(digest[:8], "big") or 1, bucket * _BUCKET_BYTES

    @contextmanager
    def _locked(self, start: int) -> Iterator[None]:
        fcntl.lockf(self.file, fcntl.LOCK_EX, _BUCKET_BYTES, start)
        try:
            yield
        finally:
            fcntl.lockf(self.file, fcntl.LOCK_UN, _BUCKET_BYTES, start)
