"""`python -m auth_sidecar explain`: what would be decided about a request, by which rule, and what was nearest.

Reads the same configuration, keys and revocations (of those without `revocations_file` only the running sidecar knows)
and runs the same functions; nothing is recorded or passed on.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import aiohttp
from prometheus_client import CollectorRegistry

from auth_sidecar import build
from auth_sidecar.config import Settings, load
from auth_sidecar.decision import Decision, Rules, authorize
from auth_sidecar.key_source import describe
from auth_sidecar.keys import KeySet, parse_jwks
from auth_sidecar.operations import Action
from auth_sidecar.principal import Principal
from auth_sidecar.revocation import Revocations
from auth_sidecar.tokens import Refusal
from contract.config import ConfigError, exit_with
from contract.instruments import Instruments
from contract.vocabulary import AuthReason


def main(arguments: list[str]) -> int:
    """Print the decision; 0 when the request would pass, 1 when it would not."""
    parser = argparse.ArgumentParser(prog="auth_sidecar explain", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="sidecar.yaml")
    parser.add_argument(
        "--token-file", type=Path, required=True, metavar="FILE", help="the token; - reads it from stdin"
    )
    parser.add_argument("--method", required=True, help="MCP method, such as tools/call")
    parser.add_argument("--name", default="", help="tool, prompt or resource")
    parser.add_argument("--path", help="endpoint; every configured one when it is not given")
    options = parser.parse_args(arguments)
    try:
        settings = load(options.config).config
    except ConfigError as error:
        exit_with(error)
    token = sys.stdin.read() if str(options.token_file) == "-" else options.token_file.read_text(encoding="utf-8")
    instruments = Instruments(CollectorRegistry(), "sidecar")
    revocations = Revocations(settings.sidecar.revocations_file, instruments, lambda: None)
    revocations.check()
    rules = build.rules(settings, asyncio.run(_keys(settings)))
    if options.path and options.path not in rules.endpoints:
        parser.error(f"no such endpoint: {options.path}; configured: {', '.join(rules.endpoints)}")
    paths = [options.path] if options.path else rules.endpoints
    found = rules.verifier.verify(token.strip())
    if isinstance(found, Principal) and revocations.is_revoked(found):
        found = Refusal(AuthReason.REVOKED, found.issuer)
    allowed = [_explain(line) for line in _lines(rules, found, paths, Action(options.method, options.name))]
    return 0 if all(allowed) else 1


def _explain(line: tuple[bool, str]) -> bool:
    print(line[1])
    return line[0]


def _lines(
    rules: Rules, found: Principal | Refusal, paths: Iterable[str], action: Action
) -> Iterator[tuple[bool, str]]:
    """Yield whether it is good news, and the line that says it."""
    if isinstance(found, Refusal):
        yield False, f"not authenticated: {found.reason}" + (f" (issuer {found.issuer})" if found.issuer else "")
        return
    unknown = [role for role in found.roles if role not in rules.policy.grants]
    yield True, f"authenticated: {found.kind} {found.subject} of issuer {found.issuer}"
    yield True, f"roles: {', '.join(found.roles) or 'none'}" + (f" (unknown: {', '.join(unknown)})" if unknown else "")
    for path in paths:
        decision = authorize(rules, found, path, action)
        yield decision.is_allowed, f"{path}: {_verdict(decision)}"


def _verdict(decision: Decision) -> str:
    word = "allowed" if decision.is_allowed else f"denied: {decision.reason}"
    if decision.shadow:
        word = f"allowed by shadow mode, else denied: {decision.shadow}"
    needs = f"; needs {decision.permission}" if decision.permission else "; mapped to no permission"
    scopes = f"; scopes {' '.join(decision.scopes)}" if decision.scopes else ""
    return word + needs + scopes + (f"; {decision.rule}" if decision.rule else "")


async def _keys(settings: Settings) -> build.Keys:
    """Fetch every issuer's keys once; an issuer that cannot be reached has none, and says so on standard error."""
    found: dict[str, KeySet | None] = {}
    async with aiohttp.ClientSession() as session:
        for issuer in settings.sidecar.issuers:
            try:
                found[issuer.name] = parse_jwks(await build.fetch(issuer, session)())
            except (OSError, ValueError, aiohttp.ClientError, TimeoutError) as error:
                print(f"issuer {issuer.name}: no keys: {describe(error)}", file=sys.stderr)
                found[issuer.name] = None
    return {name: lambda keys=keys: keys for name, keys in found.items()}  # type: ignore[misc]
