"""Load from one core on programs of another, in turns: what wrk and /proc tell of a program's turns.

Requests a second of the program's own CPU time are what a busy machine disturbs least; those a second of the clock and
the latencies stand beside them.
"""

import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench import peers
from bench.processes import Program

PROGRAM_CORE, LOAD_CORE = 0, 1
ROUNDS = 9
SECONDS = 1
_SCRIPT = """
local requests, turn = {}, 0
function init()
  for token in io.lines(os.getenv("BENCH_TOKENS")) do
    requests[#requests + 1] = wrk.format(os.getenv("BENCH_METHOD"), nil,
      {["Authorization"] = "Bearer " .. token, %s}, os.getenv("BENCH_BODY"))
  end
end
function request() turn = turn %% #requests + 1; return requests[turn] end
"""


class Contender(NamedTuple):
    """A running program and where it is asked."""

    name: str
    program: Program
    url: str


class Asking(NamedTuple):
    """What is asked, over how many connections; each request takes the next token."""

    tokens: Sequence[str]
    headers: Mapping[str, str]
    connections: int = 32
    body: str = ""


class Turn(NamedTuple):
    """What one turn of one program came to."""

    per_cpu_second: float
    per_second: float
    p50_milliseconds: float
    p99_milliseconds: float


class Turns(dict[str, list[Turn]]):
    """The turns of each contender, round by round."""

    def of(self, field: str, name: str) -> list[float]:
        """Return one field of a contender's turns."""
        return [getattr(turn, field) for turn in self[name]]


def take_turns(contenders: Sequence[Contender], asking: Asking, rounds: int = ROUNDS) -> Turns:
    """Ask every contender once a round, each round in the other order; any answer but 200 is an error."""
    turns = Turns({contender.name: [] for contender in contenders})
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for contender in contenders:
            _turn(contender, asking, folder)
        for number in range(rounds):
            for contender in contenders[:: -1 if number % 2 else 1]:
                turns[contender.name].append(_turn(contender, asking, folder))
    return turns


def _turn(contender: Contender, asking: Asking, folder: Path) -> Turn:
    tokens, script = folder / "tokens", folder / "load.lua"
    tokens.write_text("\n".join(asking.tokens) + "\n", encoding="ascii")
    headers = ", ".join(f'["{name}"] = "{value}"' for name, value in asking.headers.items())
    script.write_text(_SCRIPT % headers, encoding="ascii")
    environ = {**peers.environment("wrk"), "BENCH_TOKENS": str(tokens), "BENCH_BODY": asking.body}
    environ["BENCH_METHOD"] = "POST" if asking.body else "GET"
    words = ["-t1", f"-c{asking.connections}", f"-d{SECONDS}s", "--latency", "-s", str(script), contender.url]
    command = ["taskset", "-c", str(LOAD_CORE), str(peers.program("wrk")), *words]
    before = contender.program.cpu_seconds()
    told = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout  # noqa: S603
    used = contender.program.cpu_seconds() - before
    if "Non-2xx" in told or "Socket errors" in told:
        raise RuntimeError(f"{contender.name} did not answer every request well:\n{told}")
    count, elapsed = re.findall(r"(\d+) requests in ([0-9.]+)s", told)[0]
    return Turn(
        int(count) / max(used, 0.01),
        int(count) / float(elapsed),
        milliseconds(told, "50%"),
        milliseconds(told, "99%"),
    )


def milliseconds(told: str, quantile: str) -> float:
    """Return a quantile of the latencies that wrk tells."""
    distribution = told.partition("Latency Distribution")[2]
    number, unit = re.findall(rf"{quantile}\s+([0-9.]+)(us|ms|s)", distribution)[0]
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]
