"""What the OTEL_* variables say, read once and before anything of OpenTelemetry is imported.

A number that is none, or out of range, is warned about and treated as not set
(https://opentelemetry.io/docs/specs/otel/configuration/common/, numeric values). What would send spans elsewhere than
was meant, or not at all, is refused at the start (error handling: a start may fail because of a bad environment).
"""

import os
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from contract.config import ConfigError, Problem

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
"""One of the two turns tracing on."""
GRPC, HTTP = "grpc", "http/protobuf"
DEFAULT_QUEUE, DEFAULT_BATCH = 8192, 2048
"""Spans that may wait, and that are sent at once: four times the SDK's, as sending costs like encoding a thousand."""
DEFAULT_DELAY_MILLIS = 5000
NO_LIMIT_SECONDS = 3600.0
"""What a time-out of 0 means: "a very long time", as the specification allows."""
_LARGEST = 2**31 - 1
_QUEUE, _BATCH, _DELAY = "OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BSP_SCHEDULE_DELAY"
_EXPORT_TIMEOUT = "OTEL_BSP_EXPORT_TIMEOUT"
_TIMEOUTS = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
_LIMITS = tuple(
    f"OTEL_{of}_LIMIT"
    for of in (
        "ATTRIBUTE_COUNT", "ATTRIBUTE_VALUE_LENGTH", "SPAN_ATTRIBUTE_COUNT", "SPAN_ATTRIBUTE_VALUE_LENGTH",
        "SPAN_EVENT_COUNT", "SPAN_LINK_COUNT", "EVENT_ATTRIBUTE_COUNT", "LINK_ATTRIBUTE_COUNT",
    )
)  # fmt: skip
"""Read by the SDK alone, which would end the process."""
_AT_LEAST = {
    **dict.fromkeys((_QUEUE, _BATCH, _DELAY), 1),
    **dict.fromkeys((*_TIMEOUTS, _EXPORT_TIMEOUT, *_LIMITS), 0),
}
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)=([\x20-\x7e]*)")


class Sampling(NamedTuple):
    """Which traces are recorded: OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG."""

    follows_caller: bool
    bound: int
    """Of 2^64: ids below it are sampled."""


@dataclass(frozen=True)
class Settings:
    """How spans are sent, and what was wrong with what the environment says of it."""

    url: str
    protocol: str
    headers: Mapping[str, str]
    timeout_seconds: float
    """For a batch, from the first attempt to the end of the last."""
    is_compressed: bool
    tls: ssl.SSLContext | None
    queue: int
    batch: int
    delay_millis: int
    """Milliseconds that a span waits for others to be sent with it."""
    sampling: Sampling
    warnings: tuple[str, ...]
    unusable: tuple[str, ...]
    """Variables to be treated as not set, by the SDK too."""


def is_wanted(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether an endpoint is named, and nothing turns tracing off again."""
    is_off = _word(environ, "OTEL_SDK_DISABLED") == "true" or _word(environ, "OTEL_TRACES_EXPORTER") == "none"
    return not is_off and bool(_first(environ, TRACES_ENDPOINT, ENDPOINT))


def read(environ: Mapping[str, str] = os.environ) -> Settings | None:
    """Return what the environment says, None where tracing is off; raises ConfigError for what is refused."""
    return _Reading(environ).settings() if is_wanted(environ) else None


def questionable(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return what --check warns of; raises ConfigError for what is refused."""
    settings = read(environ)
    return settings.warnings if settings else ()


class _Reading:
    """One reading of an environment, with what it found wrong so far."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._warnings: dict[str, str] = {}
        self._problems: list[Problem] = []

    def settings(self) -> Settings:
        numbers = {variable: self._number(variable, least) for variable, least in _AT_LEAST.items()}
        said = [found for name in _TIMEOUTS if (found := numbers[name]) is not None]
        timeout = (said or [10_000])[0] / 1000 or NO_LIMIT_SECONDS
        of_queue = (numbers[_EXPORT_TIMEOUT] or 0) / 1000 or NO_LIMIT_SECONDS
        queue = numbers[_QUEUE] or DEFAULT_QUEUE
        self._choice("OTEL_TRACES_EXPORTER", "otlp", ("otlp",), "otlp or none")
        protocol = self._choice(self._set("PROTOCOL"), HTTP, (GRPC, HTTP), f"{HTTP} or {GRPC}")
        url = self._url(protocol)
        made = Settings(
            url=url,
            protocol=protocol,
            headers=dict(self._headers()),
            timeout_seconds=min(timeout, of_queue),
            is_compressed=self._is_compressed(),
            tls=self._tls() if url.startswith("https") and protocol == HTTP else None,
            queue=queue,
            batch=min(numbers[_BATCH] or DEFAULT_BATCH, queue),
            delay_millis=numbers[_DELAY] or DEFAULT_DELAY_MILLIS,
            sampling=self._sampling(),
            warnings=tuple(f"{variable}: {said}" for variable, said in self._warnings.items()),
            unusable=(*self._warnings, *self._empty()),
        )
        if self._problems:
            raise ConfigError(self._problems)
        return made

    def _empty(self) -> Iterator[str]:
        """Yield what is the same as not set, by the specification but not for the SDK."""
        return (name for name, text in self._environ.items() if name.startswith("OTEL_") and not text.strip())

    def _set(self, what: str) -> str:
        """Return the variable of the two that counts: the one for traces, where it is set."""
        of_traces = f"OTEL_EXPORTER_OTLP_TRACES_{what}"
        return of_traces if self._environ.get(of_traces) else f"OTEL_EXPORTER_OTLP_{what}"

    def _number(self, variable: str, least: int) -> int | None:
        text = self._environ.get(variable, "").strip()
        if text.isascii() and text.isdigit() and least <= int(text) <= _LARGEST:
            return int(text)
        if text:
            self._warnings[variable] = f"{text!r} is no whole number from {least} to {_LARGEST}; treated as not set"
        return None

    def _choice(self, variable: str, default: str, choices: tuple[str, ...], mend: str) -> str:
        word = _word(self._environ, variable) or default
        if word not in choices:
            self._refuse(variable, f"{self._environ[variable]!r} is not supported", f"set {mend}")
        return word

    def _url(self, protocol: str) -> str:
        variable = TRACES_ENDPOINT if self._environ.get(TRACES_ENDPOINT) else ENDPOINT
        url = self._environ[variable].strip()
        if protocol == HTTP and not _is_url(url):
            self._refuse(variable, f"{url!r} is no URL of a server", "give one such as http://localhost:4318")
        is_as_it_is = protocol == GRPC or variable == TRACES_ENDPOINT
        return url if is_as_it_is else f"{url.removesuffix('/')}/v1/traces"

    def _headers(self) -> Iterator[tuple[str, str]]:
        variable = self._set("HEADERS")
        for pair in filter(None, (pair.strip() for pair in self._environ.get(variable, "").split(","))):
            found = _HEADER.fullmatch(unquote(pair))
            if found:
                yield found[1].lower(), found[2].strip()
            else:  # without its text, which may be a secret
                self._warnings[variable] = "a header that is not name=value, URL encoded, is left out"

    def _is_compressed(self) -> bool:
        variable = self._set("COMPRESSION")
        word = _word(self._environ, variable)
        if word not in ("", "none", "gzip"):
            self._warnings[variable] = f"{word!r} is not gzip and not none; nothing is compressed"
        return word == "gzip"

    def _tls(self) -> ssl.SSLContext | None:
        trusted, certificate, key = (self._set(what) for what in ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"))
        try:
            variable = trusted
            context = ssl.create_default_context(cafile=self._environ.get(trusted) or None)
            variable = certificate
            if self._environ.get(certificate):
                context.load_cert_chain(self._environ[certificate], self._environ.get(key) or None)
        except OSError as error:  # ssl.SSLError is one
            self._refuse(variable, f"cannot be used: {error}", "name a file in PEM form that this user can read")
            return None
        return context

    def _sampling(self) -> Sampling:
        variable = "OTEL_TRACES_SAMPLER"
        name = _word(self._environ, variable) or "parentbased_always_on"
        kind = name.removeprefix("parentbased_")
        if kind not in ("always_on", "always_off", "traceidratio"):
            self._warnings[variable] = f"{self._environ[variable]!r} is not known; everything is sampled"
            return Sampling(True, 1 << 64)
        share = {"always_on": 1.0, "always_off": 0.0}.get(kind)
        return Sampling(name != kind, round((self._share() if share is None else share) * (1 << 64)))

    def _share(self) -> float:
        variable = "OTEL_TRACES_SAMPLER_ARG"
        text = self._environ.get(variable) or "1"
        try:
            share = float(text)
        except ValueError:
            share = -1.0
        if 0 <= share <= 1:
            return share
        self._warnings[variable] = f"{text!r} is no share from 0 to 1; everything is sampled"
        return 1.0

    def _refuse(self, variable: str, message: str, mend: str) -> None:
        self._problems.append(Problem("environment", 1, variable, message, mend))


def _word(environ: Mapping[str, str], variable: str) -> str:
    return environ.get(variable, "").strip().lower()


def _first(environ: Mapping[str, str], *variables: str) -> str:
    return next(filter(None, (environ.get(variable) for variable in variables)), "")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
