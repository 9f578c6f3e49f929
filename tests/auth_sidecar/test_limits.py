"""Limits decide the same in one process and in memory that several share; neither grows, and no try is lost."""

import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from auth_sidecar.limits import LocalTable, Lockout, LockoutRules, RateLimit, RateRules, Table, client_of
from auth_sidecar.shared_table import WAYS, SharedTable
from contract.instruments import Instruments


def shared(entries: int = 1000) -> SharedTable:
    """Return a table in shared memory."""
    return SharedTable(SharedTable.create(entries), b"secret", time.monotonic)


def release(table: SharedTable) -> None:
    """Give its file back."""
    os.close(table.file)


STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 30), st.booleans()), max_size=60)


@given(STEPS)
def test_shared_limits_decide_as_those_of_one_process(steps: list[tuple[str, float, bool]]) -> None:
    memory = shared()
    clock, decided = [0.0], list[list[tuple[bool, bool, int]]]()
    for table in (LocalTable(), memory):
        clock[0] = 0.0
        instruments = Instruments(CollectorRegistry(), "sidecar")
        lockout = Lockout(LockoutRules(3, 20, 40), instruments, lambda: clock[0], table)
        rates: Table = LocalTable() if isinstance(table, LocalTable) else shared()
        rate = RateLimit(RateRules(0.5, 3), lambda: clock[0], rates)
        decided.append([])
        for client, wait, has_failed in steps:
            clock[0] += wait
            if has_failed:
                lockout.failed(client)
            decided[-1].append((lockout.is_locked(client), rate.admits(client), lockout.locked_clients()))
        if isinstance(rates, SharedTable):
            release(rates)
    release(memory)
    assert decided[0] == decided[1]


def test_a_table_does_not_grow_and_knows_the_latest() -> None:
    table = shared(800)
    size = os.fstat(table.file).st_size
    for number in range(20_000):
        table.update(f"client-{number}", lambda record: (1.0 if record is None else 2.0, 0.0, 0.0), 800)
    assert os.fstat(table.file).st_size == size
    assert len(list(table.records())) == 800
    assert table.get("client-19999") == (1.0, 0.0, 0.0)
    known = sum(table.get(f"client-{number}") is not None for number in range(19_900, 20_000))
    assert known > 100 - WAYS
    release(table)


COUNTING = """
import os, sys, time
from auth_sidecar.shared_table import SharedTable
table = SharedTable(int(sys.argv[1]), b"secret", time.monotonic)
for number in range(2000):
    table.update(f"client-{number % 3}", lambda record: ((record or (0.0,))[0] + 1, 0.0, 0.0), 1000)
"""
STUCK = (
    COUNTING.partition("for number")[0]
    + """
table.update("client", lambda _: os.write(1, b"x") and time.sleep(60), 1000)
"""
)


def another(program: str, table: SharedTable) -> subprocess.Popen[bytes]:
    """Run a program that shares a table."""
    words = [sys.executable, "-c", program, str(table.file)]
    return subprocess.Popen(words, pass_fds=[table.file], stdout=subprocess.PIPE)


def test_no_count_of_several_processes_is_lost() -> None:
    table = shared()
    for process in [another(COUNTING, table) for _ in range(3)]:
        process.communicate()
        assert process.returncode == 0
    assert sum(record[0] for record in table.records()) == 6000
    release(table)


def test_a_process_that_dies_while_it_counts_holds_nobody_up() -> None:
    table = shared()
    with another(STUCK, table) as process:
        assert process.stdout
        assert process.stdout.read(1) == b"x"
        process.kill()
    assert table.update("client", lambda record: (0.0 if record else 1.0, 0.0, 0.0), 1000) == (1.0, 0.0, 0.0)
    release(table)


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("somewhere", "somewhere"),
    ],
)
def test_a_network_of_ipv6_is_one_client(address: str, client: str) -> None:
    assert client_of(address) == client
