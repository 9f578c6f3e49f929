"""Log lines are JSON objects with the same fields everywhere."""

import io
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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
    logging.captureWarnings(False)
    for handler in root.handlers:
        if isinstance(handler, log.LogFile):
            handler.close()
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


def strict(text: str) -> dict[str, object]:
    """Read a line as a strict reader does: UTF-8, and no NaN."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    read: dict[str, object] = json.loads(text.encode("utf-8"), parse_constant=refuse)
    return read


class Mute:
    def __str__(self) -> str:
        raise RuntimeError("no text")


CIRCLE: list[object] = ["x"]
CIRCLE.append(CIRCLE)
SELF: dict[str, object] = {}
SELF.update({str(number): SELF for number in range(50)})


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("lone \udc80", "lone \\udc80"),
        ("ö ✓", "ö ✓"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (2**64, str(2**64)),
        (10**5000, "<int without text>"),
        (b"\xff", "b'\\xff'"),
        ({(1, 2): 3, None: "a\udc80"}, {"(1, 2)": 3, "None": "a\\udc80"}),
        ({3}, [3]),
        (CIRCLE, ["x", "['x', [...]]"]),
        (Mute(), "<Mute without text>"),
        (ValueError("wrong"), "wrong"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_is_logged_is_a_line_that_a_strict_reader_takes(
    stream: io.StringIO, value: object, written: object
) -> None:
    logging.getLogger("x").info("odd", extra={"value": value})
    assert strict(stream.getvalue())["value"] == written


def test_what_holds_itself_many_times_does_not_grow(stream: io.StringIO) -> None:
    logging.getLogger("x").info("odd", extra={"value": SELF})
    assert len(stream.getvalue()) < 100_000
    assert strict(stream.getvalue())


@pytest.mark.parametrize(
    ("message", "argument", "written"),
    [("%d agents", "some\udc80", "%d agents some\\udc80"), ("%s", Mute(), "%s <Mute without text>")],
    ids=["kind", "mute"],
)
def test_arguments_that_do_not_fit_lose_no_line(message: str, argument: object, written: str) -> None:
    record = logging.LogRecord("x", logging.INFO, "file.py", 1, message, (argument,), None)
    assert strict(log.JsonFormatter("exporter").format(record))["message"] == written


def test_extra_fields_do_not_take_the_place_of_the_fixed_ones(stream: io.StringIO) -> None:
    extra = {"ts": "never", "level": "debug", "service": "evil", "logger": "y", "exception": "none", "trace_id": "ab"}
    logging.getLogger("x").info("once", extra=extra)
    (line,) = lines(stream)
    assert (line["level"], line["service"], line["logger"]) == ("info", "exporter", "x")
    assert (line["ts_"], line["level_"], line["service_"], line["trace_id"]) == ("never", "debug", "evil", "ab")
    assert "exception" not in line


def test_warnings_of_python_are_lines_too(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        log.setup("exporter", stream=stream)
        warnings.warn("old habit", UserWarning, stacklevel=1)
    (line,) = lines(stream)
    assert (line["level"], line["logger"]) == ("warning", "py.warnings")
    assert "UserWarning: old habit" in str(line["message"])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(log.FOLDER_VARIABLE, str(tmp_path))
    return tmp_path


def test_a_folder_for_files_gets_the_same_lines(folder: Path, stream: io.StringIO) -> None:
    log.setup("exporter", stream=stream)
    logging.getLogger("x").info("once")
    assert (folder / "exporter.jsonl").read_text() == stream.getvalue()


def test_a_service_that_starts_again_goes_on_with_its_file(folder: Path, stream: io.StringIO) -> None:
    for _ in range(15):
        log.setup("exporter", stream=stream)
        logging.getLogger("x").info("once")
    assert [file.name for file in folder.glob("*.jsonl*")] == ["exporter.jsonl"]
    assert (folder / "exporter.jsonl").read_text() == stream.getvalue()


PROGRAM = """
import logging, sys
from contract import log
log.setup("sidecar")
logging.getLogger("x").info(sys.argv[1])
print("written", flush=True)
sys.stdin.read()
"""


@contextmanager
def service(name: str) -> Iterator[subprocess.Popen[str]]:
    """Run a service of its own that has written a line with its name."""
    command = [sys.executable, "-c", PROGRAM, name]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "written\n"
        yield process
        process.kill()


def test_of_two_processes_of_a_service_each_has_a_file_and_a_killed_one_leaves_it(folder: Path) -> None:
    with service("first") as first, service("second"):
        first.kill()
        first.wait()
        with service("third"):
            pass
    written = {
        file.name: [json.loads(line)["message"] for line in file.read_text().splitlines()]
        for file in folder.glob("*.jsonl")
    }
    assert written == {"sidecar.jsonl": ["first", "third"], "sidecar-2.jsonl": ["second"]}


def test_files_are_three_of_a_bounded_size(folder: Path, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "FILE_BYTES", 1000)
    log.setup("exporter", stream=stream)
    for number in range(100):
        logging.getLogger("x").info("line %d", number)
    files = {file.name: file.stat().st_size for file in folder.glob("*.jsonl*")}
    assert set(files) == {"exporter.jsonl", "exporter.jsonl.1", "exporter.jsonl.2"}
    assert max(files.values()) <= 1000


def test_a_folder_that_cannot_be_written_ends_the_start_with_its_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(log.FOLDER_VARIABLE, str(tmp_path / "missing"))
    with pytest.raises(SystemExit) as ended:
        log.setup("exporter")
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("environment:1: LOOKOUT_LOG_FOLDER: ")


def test_a_file_that_cannot_be_written_any_more_is_told_of_once(
    folder: Path, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(log, "FILE_BYTES", 100)
    (folder / "exporter.jsonl.1").mkdir()
    log.setup("exporter", stream=stream)
    for _ in range(3):
        logging.getLogger("x").info("long %s", "x" * 100)
    told = [str(line["message"]).partition(" xx")[0] for line in lines(stream)]
    assert told == ["long", "long", "the log file cannot be written", "long"]
    assert capsys.readouterr().err == ""


def test_messages_about_different_agents_do_not_hold_each_other_back(stream: io.StringIO) -> None:
    logger = logging.getLogger("flood")
    limit = log.RateLimit(seconds=3600)
    logger.addFilter(limit)
    for about in ({"agent": "a"}, {"agent": "b"}, {"agent": "a"}, {"url": "c"}, {"url": "d"}, {"url": "c"}):
        logger.info("upstream failed", extra=about)
    logger.removeFilter(limit)
    assert [line.get("agent") or line["url"] for line in lines(stream)] == ["a", "b", "c", "d"]
