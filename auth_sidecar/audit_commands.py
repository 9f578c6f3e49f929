"""`python -m auth_sidecar audit verify|query`: prove the log, against Prometheus where wanted, and read it."""

import argparse
import asyncio
import datetime
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from prometheus_client import CollectorRegistry

from auth_sidecar import audit_chain, audit_verify, build
from auth_sidecar.audit_chain import Sealer
from auth_sidecar.audit_export import FORMATS
from auth_sidecar.audit_verify import Witness
from auth_sidecar.config import load
from auth_sidecar.encryption import KeyRing
from auth_sidecar.key_source import describe
from contract.config import ConfigError, exit_with
from contract.fields import parse_duration
from contract.instruments import Instruments

SCRAPED = ("mcp_audit_chain_length", "mcp_audit_chain_head")


def main(arguments: list[str]) -> int:
    """Run a command; 0 when all is well, 1 when the log is not what it should be, 3 when no witness could be asked."""
    options = _parser().parse_args(arguments)
    try:
        config = load(options.config).config.sidecar
    except ConfigError as error:
        exit_with(error)
    audit = config.audit
    sealers = [Sealer(file.read().encode()) for file in (audit.key_file, *audit.previous_key_files)]
    if options.command == "verify":
        return _verify(options, audit.folder, sealers)
    ring = build.key_ring(config, Instruments(CollectorRegistry(), "sidecar")) if options.unseal else None
    return _query(options, audit.folder, ring)


def _verify(options: argparse.Namespace, folder: Path, sealers: list[Sealer]) -> int:
    witnesses: list[Witness] = []
    if options.prometheus:
        try:
            witnesses = asyncio.run(scraped(options.prometheus, options.range, options.selector))
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            print(f"Prometheus could not be asked: {describe(error)}", file=sys.stderr)
            return 3
        if not witnesses:
            print("Prometheus has seen nothing of this log; is the sidecar scraped?", file=sys.stderr)
            return 3
    walk = audit_verify.verify(folder, sealers, witnesses)
    for problem in walk.problems:
        print(problem)
    first = (walk.starts_after.length if walk.starts_after else 0) + 1
    state = "whole" if walk.is_whole else f"BROKEN, {len(walk.problems)} problems"
    seen = f", {len(witnesses)} samples of Prometheus agree" if witnesses and walk.is_whole else ""
    print(f"{state}: records {first} to {walk.link.length}, {walk.verified} verified{seen}; head {walk.link.head}")
    return 0 if walk.is_whole else 1


def _query(options: argparse.Namespace, folder: Path, ring: KeyRing | None) -> int:
    convert = FORMATS[options.format]
    wanted = {name: getattr(options, name) for name in ("actor", "reason", "event", "agent", "client")}
    for record in _records(folder, options.since, options.until, {k: v for k, v in wanted.items() if v}):
        if ring and isinstance(record.get("sealed"), dict):
            record = {**record, **ring.decrypt(record["sealed"])}
        sys.stdout.buffer.write(orjson.dumps(convert(record)) + b"\n")
    sys.stdout.flush()
    return 0


def _records(
    folder: Path, since: datetime.datetime | None, until: datetime.datetime | None, wanted: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    for segment in audit_chain.segments(folder):
        for line in audit_chain.lines(segment):
            try:
                record = orjson.loads(line)
            except ValueError:
                continue  # torn by a crash; `verify` tells about everything else
            moment = datetime.datetime.fromisoformat(record["ts"])
            is_in_time = (since is None or moment >= since) and (until is None or moment < until)
            if is_in_time and all(record.get(name) == value for name, value in wanted.items()):
                yield record


async def scraped(url: str, range_: str, selector: str) -> list[Witness]:
    """Return every (length, head) that one Prometheus scraped together. Raises ValueError for an answer of no use."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        lengths, heads = [await _samples(session, url, f"{name}{selector}[{range_}]") for name in SCRAPED]
    return [
        Witness(timestamp, int(length), int(heads[instance, timestamp]))
        for (instance, timestamp), length in sorted(lengths.items(), key=lambda item: item[0][1])
        if (instance, timestamp) in heads
    ]


async def _samples(session: aiohttp.ClientSession, url: str, query: str) -> dict[tuple[str, float], float]:
    async with session.get(f"{url.rstrip('/')}/api/v1/query", params={"query": query}) as response:
        answer = await response.json()
    if answer.get("status") != "success":
        raise ValueError(f"query {query}: {answer.get('error', response.status)}")
    return {
        (_series(series["metric"]), timestamp): float(value)
        for series in answer["data"]["result"]
        for timestamp, value in series["values"]
    }


def _series(labels: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()) if name != "__name__")


def _time(text: str) -> datetime.datetime:
    """Take a moment (ISO 8601), or how long ago ("2h")."""
    try:
        return datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=parse_duration(text))
    except ValueError:
        moment = datetime.datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="auth_sidecar audit", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    verify = commands.add_parser("verify", help="check every seal and link, and what Prometheus has seen")
    verify.add_argument("--prometheus", metavar="URL", help="compare with the length and head that were scraped")
    verify.add_argument("--range", default="15d", help="how far back Prometheus is asked")
    verify.add_argument("--selector", default="", help='label selector of this sidecar, such as {instance="a:9821"}')
    query = commands.add_parser("query", help="print records as JSON lines")
    for name in ("actor", "reason", "event", "agent", "client"):
        query.add_argument(f"--{name}")
    query.add_argument("--since", type=_time, help="moment (ISO 8601) or how long ago (2h)")
    query.add_argument("--until", type=_time)
    query.add_argument("--unseal", action="store_true", help="open what is sealed with the configured keys")
    query.add_argument("--format", choices=sorted(FORMATS), default="native")
    for command in (verify, query):
        command.add_argument("--config", type=Path, required=True, metavar="FILE", help="sidecar.yaml")
    return parser
