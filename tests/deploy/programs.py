"""A small real service for tests of the runner."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from contract.ports import free_port
from deploy.native.reload import Post
from deploy.native.runner import Port, Service

SERVER = """
import http.server, pathlib, sys, time

PORT, CONFIG, READY = int(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
running = CONFIG.read_text()
print("read", running, flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, text=""):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self):
        self.answer(200 if READY == "ready" else 503, running)

    def do_POST(self):
        global running
        if "bad" in CONFIG.read_text():
            return self.answer(400, "line 1: bad")
        running = CONFIG.read_text()
        self.answer(200)

    def log_message(self, *arguments):
        pass


if READY == "dies":
    sys.exit("it dies at once")
http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
"""


def service(folder: Path, name: str = "service", ready: str = "ready", **changes: Any) -> Service:
    """Return a service whose program and configuration lie in the folder; it is not started."""
    program, config = folder / f"{name}.py", folder / f"{name}.conf"
    for file, text in ((program, SERVER), (config, "first")):
        if not file.exists():
            file.write_text(text, encoding="utf-8")
    port = free_port()
    made = Service(
        name=name,
        command=(sys.executable, "-I", "-S", str(program), str(port), str(config), ready),
        ready=f"http://127.0.0.1:{port}/",
        ports=(Port(port, "LOOKOUT_SERVICE_PORT"),),
        config=(config,),
        code=(program,),
        reload=Post(f"http://127.0.0.1:{port}/-/reload"),
    )
    return replace(made, **changes)
