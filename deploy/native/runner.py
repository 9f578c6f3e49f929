"""Starts, watches and ends a set of services; every step is said as it happens, and each wait has a bound."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

from deploy.native import process
from deploy.native.files import digest
from deploy.native.packages import lock
from deploy.native.process import Record
from deploy.native.reload import HangUp, Post, RefusedError

READY_WITHIN_SECONDS = 60.0
# What a program consists of; its folder may hold configuration too, which is reloaded.
PROGRAM_SUFFIXES = frozenset({".py", ".html", ".css", ".js", ".svg", ".tmpl"})
# The stack listens on loopback: a proxy of the environment must not come between.
_opener = build_opener(ProxyHandler({}))


class RunError(Exception):
    """The stack cannot be started or reloaded; the message says why and what to do."""


@dataclass(frozen=True)
class Port:
    """A port that a service listens on, and what moves it."""

    number: int
    variable: str


@dataclass(frozen=True)
class Service:
    """One program of the stack."""

    name: str
    command: tuple[str, ...]
    ready: str
    """URL that answers 200 once the service works."""
    ports: tuple[Port, ...] = ()
    config: tuple[Path, ...] = ()
    """Files and folders that it reads; when only these change it reloads."""
    code: tuple[Path, ...] = ()
    """Files and folders of its program; when these or the command change it is started again."""
    reload: Post | HangUp | None = None
    """What lets it read its configuration again; without it a change starts the service again."""
    environ: Mapping[str, str] = field(default_factory=dict)
    check: tuple[str, ...] | None = None
    """Command that fails, and says why, when the service would refuse its configuration."""
    folder: Path | None = None
    """Where relative paths of the program start; the runner's own folder otherwise."""

    @property
    def program(self) -> str:
        """Digest of everything that only a new start can change, but for the command."""
        return digest(self.code, f"{self.folder} {dict(self.environ)}", PROGRAM_SUFFIXES)


class Runner:
    """The services of one state folder (records in `run/`, output in `log/`)."""

    def __init__(
        self,
        state: Path,
        *,
        ready_within_seconds: float = READY_WITHIN_SECONDS,
        in_users_terms: Callable[[str], str] = str,
    ) -> None:
        """Take the state folder and what names the user's files in the services' messages; nothing is started yet."""
        self.records = state / "run"
        self.logs = state / "log"
        self._lock_file = state / "lock"
        self._ready_within_seconds = ready_within_seconds
        self._in_users_terms = in_users_terms

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other commands on the same state folder waiting."""
        with lock(self._lock_file):
            yield

    def up(self, services: Sequence[Service]) -> None:
        """Start what does not run, in order, each when the one before is ready. Raises RunError.

        Configurations are checked first: while one is refused, nothing is started, stopped or reloaded.
        """
        self._check_configurations(services)
        to_start = [service for service in services if not self._keeps_running(service)]
        _check_ports(to_start)
        for service in to_start:
            self._start(service)

    def _check_configurations(self, services: Sequence[Service]) -> None:
        """Raise RunError with what each service says that would refuse its new configuration."""
        records = process.recall(self.records)
        changed = [s for s in services if s.check and _is_to_be_read(records.get(s.name), s)]
        told = {service.name: _checked(service) for service in changed}
        for line in (line for is_good, said in told.values() if is_good for line in said.splitlines()):
            if line.startswith("warning: "):
                _say(self._in_users_terms(line))
        if refusals := {name: said for name, (is_good, said) in told.items() if not is_good}:
            texts = [f"{name} refuses its configuration:\n{_indented(said)}" for name, said in refusals.items()]
            raise RunError(
                self._in_users_terms("\n".join([*texts, "Nothing was changed: what ran goes on as before."]))
            )

    def _keeps_running(self, service: Service) -> bool:
        """Tell whether the service runs as it should; reload it after a change, end it when that is not enough."""
        record = process.recall(self.records).get(service.name)
        if record is None or not record.is_running:
            return False
        if not _is_current(record, service):
            _say(f"{service.name}: changed, starting it again")
            self._stop(record)
            return False
        if record.config != digest(service.config):
            self._reload(service, record)
        else:
            _say(f"{service.name}: already running (pid {record.pid})")
        return True

    def _reload(self, service: Service, record: Record) -> None:
        if service.reload is None:
            raise RunError(f"{service.name} cannot read its configuration again while it runs")
        log = self._log(service)
        since = log.stat().st_size
        try:
            service.reload(record)
        except RefusedError as error:
            reason = self._in_users_terms(str(error) or process.last_lines(log, since=since))
            raise RunError(
                f"{service.name} refuses its new configuration and keeps the one before: {reason}"
            ) from error
        changed = Record(**{**vars(record), "config": digest(service.config)})
        process.remember(changed, self.records)
        _say(f"{service.name}: configuration read again")

    def _start(self, service: Service) -> None:
        began = time.monotonic()
        _say(f"{service.name}: starting", end=" ... ")
        log = self._log(service)
        since = log.stat().st_size if log.exists() else 0
        try:
            record = process.start(
                service.name,
                service.command,
                log=log,
                records=self.records,
                folder=service.folder,
                environ={**os.environ, **service.environ},
                code=service.program,
                config=digest(service.config),
            )
        except OSError as error:
            raise RunError(f"{service.name} cannot be started: {error}") from error
        self._wait_until_ready(service, record, log, since)
        print(f"ready after {time.monotonic() - began:.1f} s", flush=True)

    def _log(self, service: Service) -> Path:
        return self.logs / f"{service.name}.log"

    def _wait_until_ready(self, service: Service, record: Record, log: Path, since: int) -> None:
        deadline = time.monotonic() + self._ready_within_seconds
        while (answer := _answer(service.ready)) != "200":
            ended = not record.is_running
            if ended or time.monotonic() > deadline:
                print("failed", flush=True)
                what = "ended" if ended else f"is not ready after {self._ready_within_seconds:.0f} s ({answer})"
                said = self._in_users_terms(process.last_lines(log, since=since))
                raise RunError(
                    f"{service.name} {what}. The end of {log}:\n{_indented(said)}\n"
                    "Mend that and run `make up` again (what runs stays), or `make down`."
                )
            time.sleep(0.05)

    def is_running(self, name: str | None = None) -> bool:
        """Tell whether a service, or anything that was started here, still runs."""
        records = process.recall(self.records)
        return any(record.is_running for record in records.values() if name in (None, record.name))

    def reload(self, services: Sequence[Service]) -> list[str]:
        """Let every service that can read its configuration again; return those that do not run. Raises RunError."""
        records = process.recall(self.records)
        running = {name: record for name, record in records.items() if record.is_running}
        self._check_configurations([service for service in services if service.name in running])
        for service in services:
            if service.reload and service.name in running:
                self._reload(service, running[service.name])
        return [service.name for service in services if service.reload and service.name not in running]

    def down(self) -> int:
        """End everything that was started here, last started first, and nothing else; return how many still ran."""
        records = sorted(process.recall(self.records).values(), key=self._started_at, reverse=True)
        running = [record for record in records if record.is_running]
        for record in records:
            self._stop(record)
        return len(running)

    def _started_at(self, record: Record) -> float:
        return (self.records / f"{record.name}.json").stat().st_mtime

    def _stop(self, record: Record) -> None:
        if record.is_running:
            _say(f"{record.name}: stopping", end=" ... ")
            print("killed, it did not end by itself" if process.stop(record) else "ended", flush=True)
        process.forget(record, self.records)

    def status(self, services: Sequence[Service]) -> list[tuple[str, str, str]]:
        """Return (name, state, URL) of each service."""
        records = process.recall(self.records)
        return [(service.name, _state(records.get(service.name), service), service.ready) for service in services]


def _is_current(record: Record, service: Service) -> bool:
    """Tell whether the running process is the one that would be started now, apart from what it can reload."""
    same_program = record.command == service.command and record.code == service.program
    return same_program and (service.reload is not None or record.config == digest(service.config))


def _is_to_be_read(record: Record | None, service: Service) -> bool:
    """Tell whether the service does not run, or with another program or configuration."""
    if record is None or not record.is_running:
        return True
    return not _is_current(record, service) or record.config != digest(service.config)


def _checked(service: Service) -> tuple[bool, str]:
    """Return whether the service's own check accepts its configuration, and what it says of it."""
    result = subprocess.run(  # noqa: S603
        service.check or (),
        capture_output=True,
        text=True,
        cwd=service.folder,
        env={**os.environ, **service.environ},
    )
    said = (result.stdout + result.stderr).strip() or f"its check ended with {result.returncode}"
    return result.returncode == 0, said


def _state(record: Record | None, service: Service) -> str:
    if record is None:
        return "not started"
    if not record.is_running:
        return "ended by itself"
    answer = _answer(service.ready)
    return "ready" if answer == "200" else f"not ready ({answer})"


def _answer(url: str) -> str:
    """Return the status a URL answers with, or why it does not answer."""
    try:
        with _opener.open(url, timeout=5) as response:
            return str(response.status)
    except HTTPError as error:
        return str(error.code)
    except OSError as error:
        return str(error)


def _check_ports(services: Sequence[Service]) -> None:
    """Raise RunError that names every port that somebody else listens on."""
    taken: dict[tuple[str, str], list[str]] = {}
    for service in services:
        for port in service.ports:
            if _is_taken(port.number):
                taken.setdefault((service.name, port.variable), []).append(str(port.number))
    if taken:
        lines = [f"  {', '.join(ports)} ({name}): move it with {variable}" for (name, variable), ports in taken.items()]
        raise RunError("\n".join(["These ports are in use by something else:", *lines, "or end what listens there."]))


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a closing connection is no server
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _say(text: str, end: str = "\n") -> None:
    print(text, end=end, flush=True)
