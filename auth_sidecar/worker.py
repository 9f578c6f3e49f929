"""One of several workers, started by the supervisor: a sidecar without admin port that answers the supervisor."""

import asyncio
import base64
import ctypes
import gc
import os
import pickle
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from auth_sidecar import control
from auth_sidecar.app import Sidecar
from auth_sidecar.merged_metrics import snapshot
from auth_sidecar.place import Place, receive
from contract import log, tracing
from contract.tracing import Tracer
from contract.web import run

GC_THRESHOLD = 20_000
"""Objects made before the collector looks; at the interpreter's own 700 it looks several times in a loop tick."""
ORPHANED = 3
"""Exit code of a worker whose supervisor has gone."""
PR_SET_PDEATHSIG = 1


def spare_collector() -> None:
    """Let what exists now stay; what a request leaves behind is mostly freed without the collector's help."""
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


def process_registry() -> CollectorRegistry:
    """Return a registry that knows of this process itself: its start, memory, files and time."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return registry


def end_with_parent() -> None:
    """Have the kernel end this process when its parent ends, even while it hangs (Linux, prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> int:
    """Serve until the supervisor says otherwise, or has gone."""
    end_with_parent()
    connection = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        place = Place.of(receive(connection))
    except EOFError:
        return ORPHANED
    log.setup("sidecar", place.settings.sidecar.log_level)
    tracer = tracing.setup("sidecar")
    try:
        run(lambda stop: _serve(connection, place, tracer, stop))
    except OSError as error:
        print(f"worker {place.number} cannot start: {error}", file=sys.stderr)
        return 1
    finally:
        if tracer:
            tracer.close()
    return 0


async def _serve(connection: socket.socket, place: Place, tracer: Tracer | None, stop: asyncio.Event) -> None:
    # Ctrl-C reaches every process of a terminal; it is the supervisor's to act on.
    asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sidecar = await Sidecar(Path(), process_registry(), place, tracer).start()
    spare_collector()
    answering = asyncio.ensure_future(_answer(connection, place, sidecar))
    await stop.wait()
    await sidecar.close()
    answering.cancel()


async def _answer(connection: socket.socket, place: Place, sidecar: Sidecar) -> None:
    async def metrics(_: Any) -> Any:
        return [sidecar.is_ready, snapshot(sidecar.registry)]

    async def use(settings: Any) -> Any:
        before = place.settings
        place.settings = pickle.loads(base64.b64decode(settings))  # noqa: S301 - from our own parent
        problems = await sidecar.reloader.reload()
        if problems:
            place.settings = before
        return [problem.message for problem in problems]

    async def revocations(_: Any) -> Any:
        sidecar.revocations.check()
        return sidecar.revocations.is_readable

    await control.answer(connection, {"metrics": metrics, "use": use, "revocations": revocations})
    # Where the kernel has not ended it: nobody would replace or stop this worker any more, and what it has answered is
    # written down.
    os._exit(ORPHANED)


if __name__ == "__main__":
    sys.exit(main())
