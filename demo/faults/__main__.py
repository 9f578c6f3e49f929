"""Break and heal the demo: python -m demo.faults break NAME | heal [NAME] | list."""

import argparse
import asyncio
import sys
import time
from typing import Any

import aiohttp

from demo import options
from demo.faults.catalogue import EXPECTATIONS, Fault, about


class Refused(Exception):
    """The control API could not be reached or said no; the text says what to do."""


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m demo.faults", description="Break and heal the demo fleet.")
    parser.add_argument(
        "--control", default=options.local_url("demo_control"), help="control API of the agents (default: %(default)s)"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("break", help="put a fault into effect").add_argument("fault", type=_fault)
    commands.add_parser("heal", help="end a fault, or all").add_argument("fault", type=_fault, nargs="?")
    commands.add_parser("list", help="show the faults, and which are in effect")
    return parser.parse_args()


def _fault(name: str) -> Fault:
    try:
        return Fault(name)
    except ValueError:
        raise argparse.ArgumentTypeError(f"no fault {name!r}; there are: {', '.join(Fault)}") from None


def story(fault: Fault) -> str:
    """Return what happens now and what to look for."""
    expected = EXPECTATIONS[fault]
    watch = f"http://localhost:{options.port('exporter')}"
    lines = [f"{fault}: {expected.does}.", f"  at once   {expected.look}", f"  watch     {watch}"]
    pages = ", pages under /pagerduty" if "pagerduty" in expected.channels else ""
    lines.append(f"  alert     {expected.alert}, its message about {about(expected.message_seconds)} after the break")
    lines.append(f"  channels  {', '.join(expected.channels)}")
    lines.append(f"  incident  http://localhost:{options.port('incident_desk')}, where it is acknowledged")
    lines.append(f"  messages  http://localhost:{options.port('sink')}{pages}")
    lines.append(
        f"  end it    make demo-heal FAULT={fault}; so does a new start of the demo, by `make up` after a change"
    )
    return "\n".join(lines)


def ending(fault: Fault, lasted_seconds: float) -> str:
    """Return when the resolved message of a healed fault comes, if one comes."""
    expected = EXPECTATIONS[fault]
    if lasted_seconds < expected.message_seconds:
        due = about(expected.message_seconds)
        return f"{expected.alert}: its message was due about {due} after the break; healed before, it may never come"
    first, last = map(about, expected.resolved_seconds)
    return f"{expected.alert}: the resolved message comes {first} to {last} from now"


def listing(active: dict[str, Any]) -> str:
    """Return every fault, the ones in effect marked."""
    lines = []
    for fault in Fault:
        mark = f"broken for {_since(active[fault])}" if fault in active else ""
        lines.append(f"{fault:<18} {EXPECTATIONS[fault].alert:<20} {mark or EXPECTATIONS[fault].does}")
        lines += [f"{'':<18} {name}: {value}" for name, value in active.get(fault, {}).items() if name != "since"]
    return "\n".join(lines)


def _since(report: dict[str, Any]) -> str:
    seconds = int(time.time() - report["since"])
    return f"{seconds // 60} min {seconds % 60} s"


async def ask(control: str, method: str, path: str) -> dict[str, Any]:
    """Send one request to the control API and return which faults are in effect; raises Refused."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session,
            session.request(method, f"{control}{path}") as response,
        ):
            if response.status != 200:
                raise Refused(f"{control} answered {response.status}: {(await response.text()).strip()}")
            active: dict[str, Any] = (await response.json())["active"]
            return active
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Refused(f"{control} does not answer ({error}); is the demo up? Start it with: make up") from error


async def act(settings: argparse.Namespace) -> str:
    """Do what the command line says and return what to tell."""
    if settings.command == "list":
        return listing(await ask(settings.control, "GET", "/faults"))
    if settings.command == "break":
        await ask(settings.control, "POST", f"/faults/{settings.fault}")
        return story(settings.fault)
    before = await ask(settings.control, "GET", "/faults")
    await ask(settings.control, "DELETE", f"/faults/{settings.fault}" if settings.fault else "/faults")
    healed = [name for name in before if settings.fault in (None, name)]
    if not healed:
        return "nothing was broken"
    endings = [f"  {ending(Fault(name), time.time() - before[name]['since'])}" for name in healed]
    return "\n".join([f"healed: {', '.join(healed)}", *endings])


def main() -> None:
    """Talk to the control API; exit code 1 when it refuses."""
    settings = arguments()
    try:
        print(asyncio.run(act(settings)))
    except Refused as refused:
        print(refused, file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
