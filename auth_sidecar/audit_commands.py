"""`python -m auth_sidecar audit verify|query|reseal`: prove the log, read it, and move sealed fields to new keys."""

import argparse
import asyncio
import datetime
import heapq
import operator
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from prometheus_client import CollectorRegistry

from auth_sidecar import audit_chain, audit_verify, build, reseal
from auth_sidecar.audit_chain import Sealer
from auth_sidecar.audit_export import FORMATS
from auth_sidecar.audit_verify import Witness
from auth_sidecar.config import SidecarConfig, load
from auth_sidecar.encryption import SALT, KeyRing, SealError
from auth_sidecar.key_source import describe
from auth_sidecar.reseal import Reseal
from contract.config import ConfigError, exit_with
from contract.fields import parse_duration
from contract.instruments import Instruments
from contract.vocabulary import AuditEvent, AuthReason

Series = tuple[tuple[str, str], ...]
_UNSEEN = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
"""What a terminal would obey, or show as nothing; names of tools are of a client's making."""
SCRAPED = ("mcp_audit_chain_length", "mcp_audit_chain_head")


def main(arguments: list[str]) -> int:
    """Run a command; 0 when all is well, 1 when the log is not what it should be, 2 when there is no log.

    3 when no witness could be asked.
    """
    options = _parser().parse_args(arguments)
    try:
        config = load(options.config).config.sidecar
    except ConfigError as error:
        exit_with(error)
    audit = config.audit
    if not any(audit_chain.segments(path) for path in audit_chain.chains(audit.folder).values()):
        print(f"no audit log in {audit.folder}: is that audit.folder of the running sidecar?", file=sys.stderr)
        if options.command != "verify" or not options.prometheus:
            return 2
    sealers = [Sealer(file.read().encode()) for file in (audit.key_file, *audit.previous_key_files)]
    ring = build.key_ring(config, Instruments(CollectorRegistry(), "sidecar"))
    if options.command == "verify":
        return _verify(options, audit.folder, sealers, ring)
    if options.command == "reseal":
        return asyncio.run(_reseal(config, ring))
    return _query(options, audit.folder, ring if options.unseal else None)


def _verify(options: argparse.Namespace, folder: Path, sealers: list[Sealer], ring: KeyRing) -> int:
    witnesses: dict[str, list[Witness]] = {}
    if options.prometheus:
        try:
            witnesses = asyncio.run(scraped(options.prometheus, options.range, options.selector))
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            print(f"Prometheus could not be asked: {describe(error)}", file=sys.stderr)
            return 3
        if not witnesses:
            print("Prometheus has seen nothing of this log; is the sidecar scraped?", file=sys.stderr)
            return 3
    chains = audit_chain.chains(folder)
    are_whole = [
        _verify_chain(f"chain {name}: " if len(chains) > 1 else "", path, sealers, witnesses.get(name, []), ring)
        for name, path in chains.items()
    ]
    for name in witnesses.keys() - chains.keys():
        print(f"chain {name}: BROKEN, Prometheus has seen it, and nothing is left of it")
    return 0 if all(are_whole) and chains.keys() >= witnesses.keys() else 1


def _verify_chain(
    prefix: str, folder: Path, sealers: list[Sealer], witnesses: Sequence[Witness], ring: KeyRing
) -> bool:
    walk = audit_verify.verify(folder, sealers, witnesses, ring)
    for problem in walk.problems:
        print(f"{prefix}{problem}")
    if walk.unopened:
        print(f"{prefix}{walk.unopened} records have sealed fields whose key is not among encryption_keys: unproved")
    first = (walk.starts_after.length if walk.starts_after else 0) + 1
    state = "whole" if walk.is_whole else f"BROKEN, {len(walk.problems)} problems"
    seen = f", {len(witnesses)} samples of Prometheus agree" if witnesses and walk.is_whole else ""
    range_ = f"records {first} to {walk.link.length}, {walk.verified} verified"
    print(f"{prefix}{state}: {range_}{seen}; head {walk.link.head}")
    return walk.is_whole and not walk.unopened


def _query(options: argparse.Namespace, folder: Path, ring: KeyRing | None) -> int:
    convert = FORMATS[options.format]
    wanted = {name: getattr(options, name) for name in ("actor", "reason", "event", "agent", "client")}
    wanted = {name: value for name, value in wanted.items() if value}
    chains = [_records(path, options.since, options.until, wanted) for path in audit_chain.chains(folder).values()]
    for record in heapq.merge(*chains, key=operator.itemgetter("ts")):
        if ring and isinstance(record.get("sealed"), dict):
            _unseal(record, ring)
        print(_UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", orjson.dumps(convert(record)).decode()))
    sys.stdout.flush()
    return 0


def _unseal(record: dict[str, Any], ring: KeyRing) -> None:
    """Put what is sealed into a record; it stays sealed, and standard error says so, where no key opens it."""
    try:
        record.update(ring.decrypt(record["sealed"]))
        record.pop(SALT, None)
    except SealError as error:
        print(f"record {record.get('seq')}: {error}", file=sys.stderr)


def _records(
    folder: Path, since: datetime.datetime | None, until: datetime.datetime | None, wanted: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    for segment in audit_chain.segments(folder):
        for line in audit_chain.lines(segment):
            try:
                record = audit_chain.read(line)
            except ValueError:
                continue  # torn by a crash; `verify` tells about everything else
            try:
                moment = datetime.datetime.fromisoformat(record["ts"])
                if moment.tzinfo is None or "event" not in record:
                    raise ValueError("no time zone, or no event")
            except (ValueError, KeyError, TypeError) as error:
                print(f"{segment.name}: a line that is no record: {error}", file=sys.stderr)
                continue
            is_in_time = (since is None or moment >= since) and (until is None or moment < until)
            if is_in_time and all(record.get(name) == value for name, value in wanted.items()):
                yield record


async def _reseal(config: SidecarConfig, ring: KeyRing) -> int:
    folder = config.audit.folder
    if not folder.is_dir() or folder.stat().st_uid != os.geteuid():
        print(f"{folder} is not there, or not this user's: run this as the user of the sidecar", file=sys.stderr)
        return 1
    log = build.audit_log(config, Instruments(CollectorRegistry(), "sidecar"), reseal.CHAIN)
    try:
        log.open()
        report = await Reseal(folder, log.sealers, ring, log).run()
        await log.close()
    except OSError as error:
        print(f"stopped, the log is whole: {error.strerror or error}", file=sys.stderr)
        return 1
    for problem in report.problems:
        print(problem)
    for key_id, count in sorted(report.moved.items()):
        print(f"{key_id}: {count} records moved to the newest key")
    for key_id in sorted(report.needed(ring)):
        written, first = report.being_written[key_id], report.first_version[key_id]
        print(f"{key_id}: still needed")
        print(f"  {written} records are in segments that are being written: run this again when they have ended")
        print(f"  {first} records are of version 1, whose seal covers the package itself: until they expire")
    if not report.problems and not report.needed(ring):
        print("every package is under the newest key of its classification; older keys can be taken out")
    return 1 if report.problems else 0


async def scraped(url: str, range_: str, selector: str) -> dict[str, list[Witness]]:
    """Return, by chain, every (length, head) that one Prometheus scraped together.

    Raises ValueError for an answer of no use.
    """
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        lengths, heads = [await _samples(session, url, f"{name}{selector}[{range_}]") for name in SCRAPED]
    witnesses: dict[str, list[Witness]] = {}
    for (series, timestamp), length in sorted(lengths.items(), key=lambda item: item[0][1]):
        if (series, timestamp) in heads and length > 0:
            chain = dict(series).get("chain", audit_chain.MAIN)  # without the label before there were several chains
            witness = Witness(timestamp, int(length), int(heads[series, timestamp]))
            witnesses.setdefault(chain, []).append(witness)
    return witnesses


async def _samples(session: aiohttp.ClientSession, url: str, query: str) -> dict[tuple[Series, float], float]:
    async with session.get(f"{url.rstrip('/')}/api/v1/query", params={"query": query}) as response:
        answer = await response.json()
    if answer.get("status") != "success":
        raise ValueError(f"query {query}: {answer.get('error', response.status)}")
    return {
        (_series(series["metric"]), timestamp): float(value)
        for series in answer["data"]["result"]
        for timestamp, value in series["values"]
    }


def _series(labels: Mapping[str, str]) -> Series:
    return tuple((name, value) for name, value in sorted(labels.items()) if name != "__name__")


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
    for name in ("actor", "agent", "client"):
        query.add_argument(f"--{name}")
    query.add_argument("--reason", choices=[*AuthReason], metavar="REASON", help=f"one of {', '.join(AuthReason)}")
    query.add_argument("--event", choices=[*AuditEvent], metavar="EVENT", help=f"one of {', '.join(AuditEvent)}")
    query.add_argument("--since", type=_time, help="moment (ISO 8601) or how long ago (2h)")
    query.add_argument("--until", type=_time)
    query.add_argument("--unseal", action="store_true", help="open what is sealed with the configured keys")
    query.add_argument("--format", choices=sorted(FORMATS), default="native")
    moving = commands.add_parser("reseal", help="move sealed fields from old encryption keys to the newest")
    for command in (verify, query, moving):
        command.add_argument("--config", type=Path, required=True, metavar="FILE", help="sidecar.yaml")
    return parser
