"""The auth sidecar: decisions beside HAProxy's `jwt_verify`, the proxy beside nginx, memory with a thousand streams.

Every program has one core for itself, the load generator the other; ours and the peer take turns. Rates are requests a
second of the program's own CPU time, so that a busy machine does not decide.
"""

import asyncio
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import jwt
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from bench import peers
from bench.processes import Program, started, targets
from bench.report import Measure
from contract.ports import free_port

ROUNDS = 3
SECONDS = 4
CONNECTIONS = 32
TOKENS = 4000
CACHED_TOKENS = 1000
"""Fewer than there are tokens, so that every request of the second case misses the cache."""
STREAMS = 1000
ISSUER, RESOURCE = "http://idp.bench", "http://localhost:9819"
ASKED = {"X-Forwarded-Method": "POST", "X-Forwarded-Uri": "/bench/mcp", "X-Forwarded-Host": "localhost"}
CALL = '{"jsonrpc":"2.0","id":1,"method":"ping"}'
_SCRIPT = """
local requests, turn = {}, 0
function init()
  for token in io.lines(os.getenv("BENCH_REQUESTS")) do
    requests[#requests + 1] = wrk.format(os.getenv("BENCH_METHOD"), nil,
      {["Host"] = "localhost", ["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json", %s},
      os.getenv("BENCH_BODY"))
  end
end
function request() turn = turn %% #requests + 1; return requests[turn] end
"""
_HAPROXY = """
global
  nbthread 1
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
frontend verify
  bind 127.0.0.1:{port}
  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.jwt_alg) var(txn.bearer),jwt_header_query('$.alg')
  http-request deny unless {{ var(txn.jwt_alg) -m str RS256 }}
  http-request deny unless {{ var(txn.bearer),jwt_payload_query('$.iss') -m str {issuer} }}
  http-request deny unless {{ var(txn.bearer),jwt_payload_query('$.aud') -m str {resource} }}
  http-request deny unless {{ var(txn.bearer),jwt_verify(txn.jwt_alg,"{key}") 1 }}
  http-request return status 200
"""
_NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr crit; events {{ worker_connections 4096; }}
http {{ access_log off; proxy_temp_path {folder}/p; client_body_temp_path {folder}/b; fastcgi_temp_path {folder}/f;
uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; keepalive_requests 100000000;
upstream behind {{ server 127.0.0.1:{behind}; keepalive 64; keepalive_requests 100000000; }}
server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://behind; proxy_http_version 1.1;
proxy_set_header Connection ""; proxy_buffering off; }} }} }}
"""


class Load(NamedTuple):
    """What a turn of load measured."""

    per_cpu_second: float
    p50_milliseconds: float
    p99_milliseconds: float


class Bench:
    """Keys, tokens and configurations of one run, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = rsa.generate_private_key(65537, 2048)
        public = self._key.public_key()
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        (folder / "public.pem").write_bytes(pem)
        entry = {**json.loads(RSAAlgorithm.to_jwk(public)), "kid": "bench", "alg": "RS256", "use": "sig"}
        (folder / "jwks.json").write_text(json.dumps({"keys": [entry]}))
        (folder / "audit_key").write_text("0123456789abcdef" * 3)
        (folder / "audit_key").chmod(0o600)
        (folder / "roles.yaml").write_text("roles: {caller: {permissions: ['agent:view']}}\n")
        self.tokens = self._tokens(TOKENS)

    def _tokens(self, count: int) -> list[str]:
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": RESOURCE, "sub": "bench", "exp": now + 7200, "iat": now, "roles": ["caller"]}
        headers = {"kid": "bench", "typ": "at+jwt"}
        return [jwt.encode({**claims, "jti": str(n)}, self._key, "RS256", headers=headers) for n in range(count)]

    @contextlib.contextmanager
    def sidecar(self, behind: int) -> Iterator[tuple[Program, str]]:
        """Run the sidecar and yield it and its forward-auth URL."""
        ports = [free_port() for _ in range(3)]
        config: dict[str, Any] = {
            "resource": {"url": RESOURCE},
            "issuers": [{"name": "bench", "issuer": ISSUER, "jwks_file": "jwks.json"}],
            "routes": [
                {
                    "path": "/bench/mcp",
                    "agent": "b",
                    "agent_type": "planner",
                    "upstream": f"http://127.0.0.1:{behind}/mcp",
                }
            ],
            "operations": {"methods": {"http/post": "agent:view", "ping": "agent:view"}},
            "forward_auth": {"port": ports[2]},
            "limits": {"cached_tokens": CACHED_TOKENS},
            "audit": {"folder": f"audit-{ports[0]}", "key_file": "audit_key"},
        }
        file = self.folder / "sidecar.yaml"
        file.write_text(yaml.safe_dump(config))
        words = [sys.executable, "-m", "auth_sidecar", "--config", str(file), "--port", str(ports[0])]
        words += ["--admin-port", str(ports[1])]
        with started(["taskset", "-c", "0", *words], f"http://127.0.0.1:{ports[1]}", ready="/-/ready") as program:
            yield program._replace(url=f"http://127.0.0.1:{ports[0]}/bench/mcp"), f"http://127.0.0.1:{ports[2]}/auth"

    @contextlib.contextmanager
    def peer(self, name: str, config: str, *words: str, **values: Any) -> Iterator[Program]:
        """Run HAProxy or nginx with a configuration and yield it."""
        port = free_port()
        file = self.folder / f"{name}.conf"
        file.write_text(config.format(port=port, folder=self.folder, **values))
        libraries = peers.environment(name)["LD_LIBRARY_PATH"]
        command = [
            "env",
            f"LD_LIBRARY_PATH={libraries}",
            "taskset",
            "-c",
            "0",
            str(peers.program(name)),
            *words,
            str(file),
        ]
        with started(command) as program:
            time.sleep(1)
            yield program._replace(url=f"http://127.0.0.1:{port}/bench/mcp")

    def load(self, program: Program, url: str, tokens: list[str], *, method: str = "GET", connections: int) -> Load:
        """Ask for some seconds and return what came of it; any answer but 200 is an error of the benchmark."""
        (self.folder / "requests").write_text("\n".join(tokens) + "\n")
        extra = ", ".join(f'["{name}"] = "{value}"' for name, value in ASKED.items() if method == "GET")
        (self.folder / "load.lua").write_text(_SCRIPT % (extra or '["Accept"] = "application/json"'))
        environ = {**peers.environment("wrk"), "BENCH_REQUESTS": str(self.folder / "requests"), "BENCH_METHOD": method}
        environ["BENCH_BODY"] = CALL if method == "POST" else ""
        words = ["-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", "-s", str(self.folder / "load.lua"), url]
        before = program.cpu_seconds()
        told = _wrk(words, environ)
        used = program.cpu_seconds() - before
        count = int(re.findall(r"(\d+) requests in", told)[0])
        return Load(count / max(used, 0.01), _milliseconds(told, "50%"), _milliseconds(told, "99%"))


def _wrk(words: list[str], environ: Mapping[str, str]) -> str:
    command = ["taskset", "-c", "1", str(peers.program("wrk")), *words]
    told = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout  # noqa: S603
    if "Non-2xx" in told or "Socket errors" in told:
        raise RuntimeError(f"not every request was answered well:\n{told}")
    return told


def _milliseconds(told: str, quantile: str) -> float:
    number, unit = re.findall(rf"{quantile}\s+([0-9.]+)(us|ms|s)", told)[0]
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def run() -> Iterator[Measure]:
    """Measure everything that the design has a budget for."""
    if len(os.sched_getaffinity(0)) < 2:
        print("sidecar: needs two cores, one for the load", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(Path(temporary))
        yield from _decisions(bench)
        yield from _proxy(bench)
        yield _streams(bench)


def _decisions(bench: Bench) -> Iterator[Measure]:
    """Ask ours and HAProxy about repeated and about distinct tokens, in turns."""
    cases = {"repeated token": (bench.tokens[:1], 1.2), "another token each": (bench.tokens, 0.4)}
    for name, (tokens, budget) in cases.items():
        ours, theirs = [], []
        for _ in range(ROUNDS):
            values = {"issuer": ISSUER, "resource": RESOURCE, "key": bench.folder / "public.pem"}
            with bench.peer("haproxy", _HAPROXY, "-db", "-f", **values) as peer:
                theirs.append(bench.load(peer, peer.url, tokens, connections=CONNECTIONS).per_cpu_second)
            with bench.sidecar(1) as (program, url):
                ours.append(bench.load(program, url, tokens, connections=CONNECTIONS).per_cpu_second)
        our, their = statistics.median(ours), statistics.median(theirs)
        peer_words = f"HAProxy jwt_verify {their:,.0f}"
        yield Measure(f"decisions, {name}", our, "/CPU s", peer_words, our / their, at_least=budget)


def _proxy(bench: Bench) -> Iterator[Measure]:
    """Send small requests through ours and through nginx, and to the server behind alone."""
    with targets() as behind:
        direct = f"http://127.0.0.1:{behind}/mcp"
        token = bench.tokens[:1]
        with bench.sidecar(behind) as (program, _):
            ours = bench.load(program, program.url, token, method="POST", connections=CONNECTIONS)
            alone = bench.load(program, program.url, token, method="POST", connections=1)
            base = bench.load(Program(os.getpid()), direct, token, method="POST", connections=1)
        with bench.peer("nginx", _NGINX, "-c", behind=behind) as peer:
            theirs = bench.load(peer, peer.url, token, method="POST", connections=CONNECTIONS)
    added = alone.p50_milliseconds - base.p50_milliseconds
    peer_words = f"nginx proxy_pass {theirs.per_cpu_second:,.0f}, without any check"
    yield Measure("proxied requests", ours.per_cpu_second, "/CPU s", peer_words, at_least=4000)
    yield Measure("proxy adds at p50, one client", added, "ms", at_most=0.5)
    yield Measure("proxy p99, one client", alone.p99_milliseconds, "ms")


def _streams(bench: Bench) -> Measure:
    """Hold a thousand streams open and look at the memory."""

    async def measure() -> float:
        async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n")
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await reader.read()
            writer.close()

        server = await asyncio.start_server(stream, "127.0.0.1", 0, backlog=STREAMS)
        with bench.sidecar(server.sockets[0].getsockname()[1]) as (program, _):
            headers = {"Authorization": f"Bearer {bench.tokens[0]}"}
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
                responses = [await session.get(program.url) for _ in range(STREAMS)]
                for response in responses:
                    await response.content.readany()
                memory = program.peak_memory_mebibytes()
                for response in responses:
                    response.close()
        server.close()
        return memory

    return Measure(f"memory with {STREAMS:,} open streams", asyncio.run(measure()), "MiB", at_most=150)
