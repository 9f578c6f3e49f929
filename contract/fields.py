"""Field types of configuration files: durations, paths, URLs and secrets that live in files."""

import os
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import pydantic
from pydantic import AfterValidator, BeforeValidator
from pydantic_core import core_schema

from contract.config import is_world_readable

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
LONGEST_SECONDS = 10 * 366 * 86400.0
"""No configured time is longer than ten years."""
_HOST = re.compile(r"(?:[A-Za-z0-9_-]+\.)*[A-Za-z0-9_-]+\.?|[0-9a-f:.]*:[0-9a-f:.]*(?:%\w+)?", re.IGNORECASE)
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")


def parse_duration(text: object) -> float:
    """Return seconds for "500ms", "2m" or "1h30m" (Prometheus' units); raises ValueError for anything else."""
    if isinstance(text, str) and _DURATION.fullmatch(text):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
        if seconds > LONGEST_SECONDS:
            raise ValueError(f"{text[:40]!r} is longer than ten years; write a shorter duration")
        return seconds
    raise ValueError(f"{text!r} is not a duration; write a number and a unit: 500ms, 15s, 2m, 1h30m, 7d")


def format_duration(seconds: float) -> str:
    """Write seconds as Prometheus does: 90 is "1m30s"."""
    rest, parts = round(seconds * 1000), []
    for unit in ("d", "h", "m", "s", "ms"):
        count, rest = divmod(rest, round(_UNITS[unit] * 1000))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _positive(seconds: float) -> float:
    if seconds <= 0:
        raise ValueError("a duration of nothing; give one above 0")
    return seconds


def _resolve(value: object, info: pydantic.ValidationInfo) -> object:
    return Path(os.path.normpath(_folder(info) / value)) if isinstance(value, str) else value


def _folder(info: pydantic.ValidationInfo) -> Path:
    return Path((info.context or {}).get("folder", Path()))


def _secret_path(name: str, info: pydantic.ValidationInfo) -> Path:
    """Return where a secret lies: beside the configuration, else, for `secrets/...`, one folder up as in a checkout."""
    beside, above = _folder(info) / name, _folder(info).parent / name
    return above if name.startswith("secrets/") and not beside.exists() and above.exists() else beside


def _check_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is not a URL: {error}; write http://host:port/path") from None
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host or "") or re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError(f"{url!r} is not an http or https URL; write http://host:port/path")
    if parts.username or parts.password or parts.fragment:
        raise ValueError("the URL holds credentials or a fragment; keep secrets in files and drop what follows #")
    return url


Duration = Annotated[float, BeforeValidator(parse_duration)]
"""Seconds, written with units; 0s is allowed."""

PositiveDuration = Annotated[float, BeforeValidator(parse_duration), AfterValidator(_positive)]
"""Seconds above 0, written with units."""

RelativePath = Annotated[Path, BeforeValidator(_resolve)]
"""A path; a relative one starts at the folder of the configuration file."""

HttpUrl = Annotated[str, AfterValidator(_check_url)]
"""An absolute http or https URL without credentials or fragment, as written."""


class SecretFile:
    """A secret that lives in a file; read when used, so that a new content counts from the next use on."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> str:
        """Return the file's text without surrounding blanks.

        Raises OSError when it cannot be read and ValueError when it is empty.
        """
        text = self.path.read_text(encoding="utf-8").strip()
        if not text:
            raise ValueError(f"secret file {self.path} is empty; write the secret into it")
        return text

    def __repr__(self) -> str:
        return f"SecretFile({str(self.path)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretFile) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        return core_schema.with_info_plain_validator_function(cls._validate)

    @classmethod
    def _validate(cls, value: object, info: Any) -> "SecretFile":
        if isinstance(value, SecretFile):
            return value
        if not isinstance(value, str):
            raise ValueError("not a path; name the file that holds the secret")
        secret = cls(_secret_path(value, info))
        try:
            secret.read()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ValueError(f"secret file {value}: {reason}; write the secret into that file") from None
        if is_world_readable(secret.path):
            warnings = (info.context or {}).get("warnings")
            if warnings is not None:
                warnings.append((f"secret file {value} is readable by every user", f"chmod 600 {value}"))
        return secret
