"""Logs: one JSON object a line, the same field names in every service."""

import datetime
import json
import logging
import os
import sys
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, TextIO

from contract import tracing

FOLDER_VARIABLE = "LOOKOUT_LOG_FOLDER"
"""Environment variable that names a folder for log files besides standard error, which a collector reads."""
FILE_BYTES = 10 << 20
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: ts, level, service, logger, message, then what `extra` added."""

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
            "message": record.getMessage(),
        }
        line.update({name: value for name, value in vars(record).items() if name not in _OWN})
        trace_id = tracing.current_trace_id()
        if trace_id:
            line["trace_id"] = trace_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class RateLimit(logging.Filter):
    """Lets the same message of a logger about the same `agent` pass once per `seconds`.

    The next one tells how many were held back.
    """

    def __init__(self, seconds: float = 30.0) -> None:
        super().__init__()
        self._seconds = seconds
        self._last: dict[tuple[str, str, object], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is written."""
        key = (record.name, str(record.msg), getattr(record, "agent", None))
        now = time.monotonic()
        last, held = self._last.get(key, (-self._seconds, 0))
        if now - last < self._seconds:
            self._last[key] = (last, held + 1)
            return False
        self._last[key] = (now, 0)
        if held:
            record.held_back = held
        return True


def setup(service: str, level: str = "info", stream: TextIO | None = None) -> None:
    """Send all logging of this process to `stream` (standard error) as JSON lines, and to a file where one is wanted.

    Raises OSError when the folder that FOLDER_VARIABLE names cannot be written.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(stream or sys.stderr)]
    if folder := os.environ.get(FOLDER_VARIABLE):
        # One file a process: of several that write, each would take the others' file away when it is full.
        file = Path(folder) / f"{service}-{os.getpid()}.jsonl"
        handlers.append(RotatingFileHandler(file, maxBytes=FILE_BYTES, backupCount=2, encoding="utf-8"))
    for handler in handlers:
        handler.setFormatter(JsonFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = handlers
    root.setLevel(level.upper())
