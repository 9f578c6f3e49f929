"""Run the exporter, check its configuration, or pin the tools that agents list now."""

import argparse
import asyncio
import gc
import logging
import resource
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from contract import log, tracing, tracing_settings
from contract.config import ConfigError, Problem, exit_with
from contract.instruments import Instruments
from contract.ports import port
from contract.tracing import Tracer
from contract.web import Reloader, on_hangup, run, serve
from exporter import config_check, pin
from exporter.app import make_app
from exporter.clients import open_session
from exporter.file_sd import TargetFiles, is_pattern
from exporter.service import Exporter
from exporter.targets import of_config, unique

logger = logging.getLogger("exporter")

COLLECTOR_THRESHOLDS = (50_000, 20, 50)
"""Garbage collections much rarer than Python's default: probes leave hardly any cycles, and with thousands of agents
the default spends a third of the CPU time on looking for them."""


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and do what it says; broken configuration ends with exit code 2."""
    options = _parser().parse_args(arguments)
    # What --check finds it prints; the log would tell it twice.
    log.setup("exporter", "critical" if options.check else options.log_level)
    try:
        if options.check:
            _check(options.config)
        elif options.command == "pin":
            config = config_check.load(options.config).config
            raise SystemExit(asyncio.run(pin.write(config, options.agents, to_output=options.print)))
        else:
            raise_file_limit()
            gc.set_threshold(*COLLECTOR_THRESHOLDS)
            _run(options)
    except ConfigError as error:
        exit_with(error)


def _run(options: argparse.Namespace) -> None:
    tracer = tracing.setup("exporter")
    try:
        run(lambda stop: serve_until(stop, options.config, options.host, options.port, tracer))
    finally:
        if tracer:
            tracer.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m exporter", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("run", "pin"), default="run", help="default: run")
    parser.add_argument("agents", nargs="*", help="for pin: only these agents")
    parser.add_argument("--config", type=Path, required=True, help="the exporter's YAML file")
    parser.add_argument("--check", action="store_true", help="only check the configuration")
    parser.add_argument("--print", action="store_true", help="for pin: print the file instead of writing it")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=port("exporter"), help="port, 0 for a free one (default: %(default)s)"
    )
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    return parser


def _check(path: Path) -> None:
    loaded = config_check.load(path)
    for warning in (*loaded.warnings, *tracing_settings.questionable()):
        print(f"warning: {warning}", file=sys.stderr)
    files = TargetFiles(loaded.config)
    targets, doubles = unique([*of_config(loaded.config), *files.scan()])
    for pattern in files.unmatched():
        what = "no file fits this pattern yet" if is_pattern(pattern) else "the file does not exist"
        mend = "relative paths start at the folder of the configuration file"
        print(f"warning: {Problem(str(path), 1, 'file_sd', f'{pattern}: {what}', mend)}", file=sys.stderr)
    problems = files.problems()
    problems += [
        Problem(str(path), 1, "file_sd", f"the name {d.name} of {d.url} is taken", "rename it") for d in doubles
    ]
    if problems:
        raise ConfigError(problems)
    print(f"{path}: good, {len(targets)} agent{'s' if len(targets) != 1 else ''}")


async def serve_until(
    stop: asyncio.Event, path: Path, host: str, port_number: int, tracer: Tracer | None = None
) -> None:
    """Serve until `stop` is set. Raises ConfigError when the configuration is broken."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    instruments = Instruments(registry, "exporter")
    if tracer:
        tracer.outlet.count_on(instruments)
    reloader = Reloader(lambda: config_check.load(path), instruments)
    async with open_session() as session:
        exporter = Exporter(reloader.current, session, instruments, tracer=tracer)
        reloader.on_change(exporter.apply)
        on_hangup(reloader.reload)
        await exporter.start()
        try:
            server = await serve(make_app(exporter, instruments, reloader), host, port_number)
            logger.info("exporter listening", extra={"url": server.url})
            await stop.wait()
            await server.close()
        except OSError as error:
            raise SystemExit(f"cannot listen on {host}:{port_number}: {error}") from None
        finally:
            await exporter.close()


def raise_file_limit() -> None:
    """Allow as many open files as this user may have: every probe under way holds a socket."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
