"""Log lines are JSON objects with the same fields everywhere."""

import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract import log


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    log.setup("exporter", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_json_object_with_its_extra_fields(stream: io.StringIO) -> None:
    logging.getLogger("probe").warning("slow\nagent", extra={"agent": "planner-1", "seconds": 2.5})
    (line,) = lines(stream)
    assert line.pop("ts")
    assert line == {
        "level": "warning",
        "service": "exporter",
        "logger": "probe",
        "message": "slow\nagent",
        "agent": "planner-1",
        "seconds": 2.5,
    }


def test_times_are_utc_with_milliseconds(stream: io.StringIO) -> None:
    logging.getLogger("x").info("now")
    assert str(lines(stream)[0]["ts"]).endswith("Z")
    assert len(str(lines(stream)[0]["ts"])) == len("2026-11-20T13:00:00.000Z")


def test_an_exception_carries_its_traceback(stream: io.StringIO) -> None:
    try:
        raise KeyError("gone")
    except KeyError:
        logging.getLogger("x").exception("failed")
    assert "KeyError: 'gone'" in str(lines(stream)[0]["exception"])


def test_records_below_the_level_are_not_written(stream: io.StringIO) -> None:
    logging.getLogger("x").debug("detail")
    assert lines(stream) == []


def test_a_repeated_message_is_held_back_and_counted(stream: io.StringIO) -> None:
    logger = logging.getLogger("flood")
    limit = log.RateLimit(seconds=3600)
    logger.addFilter(limit)
    for number in range(5):
        logger.info("refused %d", number)
    logger.removeFilter(limit)
    assert [line["message"] for line in lines(stream)] == ["refused 0"]


def test_a_folder_for_files_gets_the_same_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: io.StringIO
) -> None:
    monkeypatch.setenv(log.FOLDER_VARIABLE, str(tmp_path))
    log.setup("exporter", stream=stream)
    logging.getLogger("x").info("once")
    written = (tmp_path / f"exporter-{os.getpid()}.jsonl").read_text()
    assert written == stream.getvalue()
    logging.getLogger().handlers[1].close()


def test_messages_about_different_agents_do_not_hold_each_other_back(stream: io.StringIO) -> None:
    logger = logging.getLogger("flood")
    limit = log.RateLimit(seconds=3600)
    logger.addFilter(limit)
    for agent in ("a", "b", "a"):
        logger.info("upstream failed", extra={"agent": agent})
    logger.removeFilter(limit)
    assert [line["agent"] for line in lines(stream)] == ["a", "b"]
