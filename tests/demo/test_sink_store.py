"""The store: bounded, numbered, kept over a restart."""

import json
from pathlib import Path

import pytest

from demo.sink import store as limits
from demo.sink.message import Facts, Message, facts
from demo.sink.store import Store


def filled(store: Store, count: int) -> None:
    for number in range(count):
        store.add(Message("slack", f"message {number}", links=(("a", "http://x.example"),), fields=(("k", "v"),)))


def test_messages_are_numbered_and_timed_in_order() -> None:
    store = Store()
    filled(store, 3)
    messages = store.all()
    assert [message.id for message in messages] == [1, 2, 3]
    assert messages[0].received <= messages[2].received
    assert store.get(2) == messages[1]
    assert store.get(9) is None


def test_only_the_last_messages_stay() -> None:
    store = Store(capacity=5)
    filled(store, 12)
    assert [message.id for message in store.all()] == [8, 9, 10, 11, 12]


def test_large_messages_push_out_more_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CHARACTERS", 1000)
    store = Store()
    filled(store, 5)
    store.add(Message("email", "large", raw="x" * 1000))
    assert len(store.all()) == 6
    store.add(Message("email", "large", html="x" * 1001))
    assert len(store.all()) == 1, "the newest stays, whatever its size"


def test_a_flood_of_refused_messages_pushes_out_no_accepted_one(tmp_path: Path) -> None:
    store = Store(tmp_path, capacity=20)
    filled(store, 2)
    for number in range(200):
        store.add(Message("slack", f"flood {number}", refusal="no_service"))
    filled(store, 1)
    kept = ["message 0", "message 1", "flood 198", "flood 199", "message 0"]
    assert [message.title for message in store.all()] == kept
    assert [message.title for message in Store(tmp_path, capacity=20).all()] == kept


def test_messages_are_found_by_channel_time_and_number() -> None:
    store = Store()
    filled(store, 2)
    store.add(Message("email", "mail"))
    first, second, mail = store.all()
    assert store.all("email") == [mail]
    assert store.all(after=first.id) == [second, mail]
    assert store.all(since=mail.received) == []


def test_a_restart_finds_the_messages_and_goes_on_counting(tmp_path: Path) -> None:
    before = Store(tmp_path / "state", capacity=3)
    filled(before, 5)
    again = Store(tmp_path / "state", capacity=3)
    assert again.all() == before.all()
    assert again.add(Message("email", "next")).id == 6


def test_the_file_does_not_grow_without_bound(tmp_path: Path) -> None:
    store = Store(tmp_path, capacity=3)
    filled(store, 100)
    lines = (tmp_path / "messages.jsonl").read_text(encoding="utf-8").splitlines()
    assert 3 <= len(lines) <= (3 + 1) * limits.REWRITE_AFTER
    assert json.loads(lines[-1])["title"] == "message 99"


def test_a_line_cut_short_costs_only_itself(tmp_path: Path) -> None:
    filled(Store(tmp_path), 3)
    file = tmp_path / "messages.jsonl"
    file.write_bytes(file.read_bytes()[:-20] + b'\n[]\n{"links": 1}\n')
    assert [message.id for message in Store(tmp_path).all()] == [1, 2]


def test_a_folder_that_cannot_be_written_costs_the_file_only(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder", encoding="utf-8")
    store = Store(blocked)
    filled(store, 2)
    assert len(store.all()) == 2


@pytest.mark.parametrize(
    ("title", "severity", "expected"),
    [
        ("[FIRING:2] HighErrorRate (validator)", "", Facts("HighErrorRate", "firing", "")),
        ("[CRITICAL] AgentDown: planner-2 is down", "", Facts("AgentDown", "firing", "critical")),
        ("[RESOLVED] AgentDown: planner-2", "Critical ", Facts("AgentDown", "resolved", "critical")),
        ("[RESOLVED]", "", Facts("", "resolved", "")),
        ("lunch is ready", "", Facts("", "", "")),
        ("[MAJOR] X: y", "unheard-of", Facts("X", "firing", "")),
    ],
)
def test_titles_tell_alert_state_and_severity(title: str, severity: str, expected: Facts) -> None:
    assert facts(title, severity) == expected
