"""The database: what was answered for survives a kill, and a file of a newer release is left alone."""

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from incident_desk.incident import Begun
from incident_desk.store import _STEPS, Store, StoreError
from tests.incident_desk.made import NOW, full_disk, incident

WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from incident_desk.store import Store
from tests.incident_desk.made import incident
store = Store(Path(sys.argv[1]))
for number in range(1_000_000):
    with store.transaction():
        store.save(replace(incident(), id=0, fingerprint=str(number)))
        store.save(replace(incident(), id=0, fingerprint=f"{number}b"))
    print(number, flush=True)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "incidents.db"


def test_an_incident_comes_back_as_it_was_kept(file: Path) -> None:
    store = Store(file)
    begun = Begun("lead", ("pagerduty", "email"), NOW + 900, 900.0)
    with store.transaction():
        kept = store.save(replace(incident(told=("slack",), acknowledged=NOW, acknowledged_by="Ada", returns=2), id=0))
        store.save_stage(kept, begun)
    store.close()
    again = Store(file)
    assert again.last("f1") == again.get(kept.id) == replace(kept, stages=(begun,))
    again.close()


def test_a_file_of_the_first_release_is_taken_over(file: Path) -> None:
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(f"{_STEPS[0]} PRAGMA user_version = 1;")
        labels = '{"alertname": "AgentDown"}'
        row = (1, "f1", labels, "{}", NOW, NOW, NOW + 10, NOW + 10, 0, "[]", None, "", None, 0, 0, 0)
        connection.execute("INSERT INTO incidents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        connection.execute("INSERT INTO stages VALUES (1, 'lead', '[\"email\"]', ?, 1)", (NOW + 910,))
        connection.commit()
    store = Store(file)
    [kept] = store.open()
    assert kept.stages == (Begun("lead", ("email",), NOW + 910, 900.0),)
    assert (kept.paused, kept.away) == (0, 0)
    store.close()


def test_what_was_answered_for_survives_a_kill_at_any_moment(file: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, file], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(20):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        answered = 20 + len(writer.stdout.readlines())
    store = Store(file)
    kept = len(store.open())
    assert kept >= 2 * answered - 2, "a line may be cut by the kill"
    assert kept % 2 == 0, "both of a transaction or none"
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store.close()


def test_a_failed_transaction_leaves_nothing(file: Path) -> None:
    store = Store(file)
    with suppress(ZeroDivisionError), store.transaction():
        store.save(replace(incident(), id=0))
        raise ZeroDivisionError
    assert store.newest(1) == []
    store.close()


def test_the_database_is_for_its_owner_alone(file: Path) -> None:
    store = Store(file)
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in file.parent.iterdir()} == {0o600}
    store.close()


def test_a_full_disk_is_named_and_when_it_has_space_again_the_database_is_written(file: Path) -> None:
    store = Store(file)
    with store.transaction():
        store.save(replace(incident(), id=0))
    with full_disk(file):
        for number in range(3):
            with pytest.raises(StoreError, match=r"incidents\.db cannot be written: "), store.transaction():
                store.save(replace(incident(), id=0, fingerprint=str(number)))
            with pytest.raises(StoreError, match="disk"):
                store.try_writing(much=False)
        assert [each.fingerprint for each in store.open()] == ["f1"]
    store.try_writing(much=True)
    with store.transaction():
        store.save(replace(incident(), id=0, fingerprint="f2"))
    assert [each.fingerprint for each in store.open()] == ["f1", "f2"]
    store.close()


def test_whether_much_can_be_written_is_known_where_little_can(file: Path) -> None:
    store = Store(file)
    store._connection.execute("PRAGMA max_page_count = 12")
    store.try_writing(much=False)
    with pytest.raises(StoreError, match="full"):
        store.try_writing(much=True)
    store._connection.execute("PRAGMA max_page_count = 1000")
    store.try_writing(much=True)
    assert store._connection.execute("SELECT name FROM sqlite_schema WHERE name = 'probe'").fetchall() == []
    store.close()


def test_a_file_that_is_broken_while_it_is_used_is_named(file: Path) -> None:
    store = Store(file)
    with store.transaction():
        store.save(replace(incident(), id=0))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file.write_bytes(b"x" * file.stat().st_size)
    with pytest.raises(StoreError, match=r"incidents\.db cannot be read: file is not a database"):
        store.open()
    store.close()


def test_a_file_of_a_newer_release_is_refused_unchanged(file: Path) -> None:
    Store(file).close()
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="newer release"):
        Store(file)


def test_a_file_that_is_no_database_is_named(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("no database at all, but long enough to be taken for one" * 100)
    with pytest.raises(StoreError, match=r"incidents\.db cannot be used"):
        Store(file)
