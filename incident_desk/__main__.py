"""Run the incident desk, or check its configuration."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

import aiohttp
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from contract import log
from contract.config import ConfigError, exit_with
from contract.instruments import Instruments
from contract.ports import port
from contract.web import Reloader, on_hangup, run, serve
from incident_desk.app import make_app
from incident_desk.config import load_settings
from incident_desk.desk import Desk
from incident_desk.numbers import Numbers
from incident_desk.store import Store, StoreError
from incident_desk.times import Times

logger = logging.getLogger("incident_desk")


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and do what it says; broken configuration ends with exit code 2."""
    options = _parser().parse_args(arguments)
    # What --check finds it prints; the log would tell it twice.
    log.setup("incident_desk", "critical" if options.check else options.log_level)
    try:
        if options.check:
            _check(options.config)
        else:
            run(lambda stop: serve_until(stop, options.config, options.host, options.port))
    except ConfigError as error:
        exit_with(error)
    except StoreError as error:
        raise SystemExit(str(error)) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m incident_desk", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the desk's YAML file")
    parser.add_argument("--check", action="store_true", help="only check the configuration")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=port("incident_desk"), help="port, 0 for a free one (default: %(default)s)"
    )
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    return parser


def _check(path: Path) -> None:
    loaded = load_settings(path)
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{path}: good")


async def serve_until(stop: asyncio.Event, path: Path, host: str, port_number: int) -> None:
    """Serve until `stop` is set. Raises ConfigError and StoreError."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    instruments = Instruments(registry, "incident_desk")
    reloader = Reloader(lambda: load_settings(path), instruments)
    store = Store(reloader.current.desk.database)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        desk = Desk(reloader.current, store, session, Numbers(instruments))
        registry.register(Times(store))
        reloader.on_change(desk.apply)
        on_hangup(reloader.reload)
        await desk.apply(reloader.current)
        running = asyncio.create_task(desk.run())
        try:
            server = await serve(make_app(desk, instruments, reloader), host, port_number)
            logger.info("incident desk listening", extra={"url": server.url})
            await stop.wait()
            await server.close()
        except OSError as error:
            raise SystemExit(f"cannot listen on {host}:{port_number}: {error}") from None
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            store.close()


if __name__ == "__main__":
    main()
