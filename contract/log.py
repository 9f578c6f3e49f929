"""Logs: one JSON object a line, the same field names in every service (docs/telemetry.md lists them)."""

import datetime
import fcntl
import itertools
import json
import logging
import math
import os
import sys
import time
from collections.abc import Mapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Any, TextIO

from contract import tracing
from contract.config import ConfigError, Problem, exit_with

FOLDER_VARIABLE = "LOOKOUT_LOG_FOLDER"
"""Environment variable that names a folder for log files besides standard error, which a collector reads."""
FILE_BYTES = 10 << 20
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_FIXED = frozenset({"ts", "level", "service", "logger", "exception"})
_DEPTH = 8
"""Of what is nested deeper only the text is written."""


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: ts, level, service, logger, message, then what `extra` added.

    It never raises, and what it returns is valid JSON and valid UTF-8, whatever was logged.
    """

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line; line breaks in messages stay inside their string."""
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Any] = {
            "ts": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": _message(record),
        }
        for name, value in vars(record).items():
            if name not in _OWN:
                line[f"{name}_" if name in _FIXED else _text(name)] = value
        trace_id = tracing.current_trace_id()
        if trace_id:
            line["trace_id"] = trace_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(_plain(line), ensure_ascii=False)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # arguments that do not fit the message, or whose text cannot be made
        arguments = record.args if isinstance(record.args, tuple) else (record.args,)
        return " ".join(map(_text, (record.msg, *arguments)))


def _plain(value: object, within: tuple[int, ...] = ()) -> object:
    """Return what JSON has for a value; `within` are the ids of what it lies in, so that a circle ends."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 64:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if id(value) in within or len(within) > _DEPTH:
        return _text(value)
    inside = (*within, id(value))
    if isinstance(value, Mapping):
        return {_text(name): _plain(inner, inside) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner, inside) for inner in value]
    return _text(value)


def _text(value: object) -> str:
    """Return a value as text that UTF-8 can carry."""
    try:
        text = str(value)
    except Exception:
        text = f"<{type(value).__name__} without text>"
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


class RateLimit(logging.Filter):
    """Lets the same message of a logger about the same `agent` or `url` pass once per `seconds`.

    The next one tells how many were held back.
    """

    def __init__(self, seconds: float = 30.0) -> None:
        super().__init__()
        self._seconds = seconds
        self._last: dict[tuple[str, str, object], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is written."""
        about = getattr(record, "agent", getattr(record, "url", None))
        key = (record.name, str(record.msg), about)
        now = time.monotonic()
        last, held = self._last.get(key, (-self._seconds, 0))
        if now - last < self._seconds:
            self._last[key] = (last, held + 1)
            return False
        self._last[key] = (now, 0)
        if held:
            record.held_back = held
        return True


class LogFile(RotatingFileHandler):
    """SERVICE.jsonl in a folder, which a restart goes on writing; three files of FILE_BYTES at most.

    Of processes that run at the same time the second has SERVICE-2.jsonl and so on: several that write one file would
    each take it away from the others when it is full. Raises OSError when the folder cannot be written.
    """

    def __init__(self, folder: Path, service: str) -> None:
        self._held, file = _own_file(folder, service)
        self._is_broken = False
        super().__init__(file, maxBytes=FILE_BYTES, backupCount=2, encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:
        """Tell once that the file cannot be written; standard error has the line."""
        if not self._is_broken:
            self._is_broken = True
            extra = {"file": self.baseFilename, "problem": str(sys.exc_info()[1])}
            logging.getLogger(__name__).error("the log file cannot be written", extra=extra)

    def close(self) -> None:
        """Leave the file to the next process."""
        super().close()
        self._held.close()


def _own_file(folder: Path, service: str) -> tuple[IO[str], Path]:
    """Return the first file that no running process writes, and what holds it as long as this process lives."""
    for number in itertools.count(1):
        name = service if number == 1 else f"{service}-{number}"
        held = (folder / f".{name}.lock").open("w", encoding="ascii")
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.close()
        else:
            return held, folder / f"{name}.jsonl"
    raise AssertionError("numbers do not end")


def setup(service: str, level: str = "info", stream: TextIO | None = None) -> None:
    """Send all logging of this process to `stream` (standard error) as JSON lines, and to a file where one is wanted.

    Python's warnings become lines too. Ends the process with code 2 when the folder that FOLDER_VARIABLE names cannot
    be written.
    """
    root = logging.getLogger()
    for old in root.handlers:
        if isinstance(old, LogFile):
            old.close()
    handlers: list[logging.Handler] = [logging.StreamHandler(stream or sys.stderr)]
    if folder := os.environ.get(FOLDER_VARIABLE):
        try:
            handlers.append(LogFile(Path(folder), service))
        except OSError as error:
            mend = "name a folder that exists and that this user can write"
            exit_with(ConfigError([Problem("environment", 1, FOLDER_VARIABLE, str(error), mend)]))
    for handler in handlers:
        handler.setFormatter(JsonFormatter(service))
    root.handlers[:] = handlers
    root.setLevel(level.upper())
    logging.captureWarnings(True)
