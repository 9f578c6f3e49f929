"""The benchmarks' table, and how benchmarks are found and judged."""

import os
import re
import sys
from pathlib import Path

import pytest

import bench.__main__ as program
from bench.load import milliseconds
from bench.processes import started, targets
from bench.report import Measure, compared, measured, table
from tests.e2e.stack import until

MET = Measure("probes", 4200.4, "/s", "blackbox_exporter 1,400", 3.0, at_least=3, spread=(2.5, 3.25))
MISSED = Measure("memory", 251.0, "MiB", at_most=250)
PLAIN = Measure("share", 0.456, "cores")


@pytest.mark.parametrize(
    ("measure", "verdict"),
    [
        (MET, True),
        (MET._replace(ratio=2.99), False),
        (MISSED, False),
        (MISSED._replace(value=250.0), True),
        (PLAIN, None),
        (PLAIN._replace(value=0.5, at_least=0.4), True),
    ],
)
def test_budget_judges_the_ratio_where_there_is_one(measure: Measure, verdict: bool | None) -> None:
    assert measure.is_met is verdict


def test_table_aligns_values_peers_ratios_and_budgets() -> None:
    assert table([MET, MISSED, PLAIN]).splitlines() == [
        "measure  ours        peer                     ratio  spread       budget",
        "-------  ----------  -----------------------  -----  -----------  ------  ------",
        "probes   4,200 /s    blackbox_exporter 1,400  3.00x  2.50 - 3.25  >= 3x   met",
        "memory   251 MiB                                                  <= 250  MISSED",
        "share    0.46 cores",
    ]


def test_a_ratio_is_taken_within_each_round() -> None:
    found = compared("work", [100, 10, 90], "/s", "peer", [200, 20, 90])
    assert found == Measure("work", 90, "/s", "peer 90.00", 0.5, spread=(0.5, 1.0))


def test_a_value_is_the_median_of_its_turns_beside_those_of_peers() -> None:
    found = measured("work", [3.0, 1.0, 200.0], "ms", {"one": [4.0], "other": [5.0, 7.0]})
    assert found == Measure("work", 3.0, "ms", "one 4.00, other 6.00", spread=(1.0, 200.0))


def test_every_module_with_a_run_is_a_benchmark() -> None:
    found = {
        path.stem for path in Path("bench").glob("*.py") if re.search(r"^def run\(", path.read_text(), re.MULTILINE)
    }
    assert set(program.benchmarks()) == found
    assert "exporter" in found


@pytest.mark.parametrize(("measures", "code"), [((MET, PLAIN), 0), ((MET, MISSED), 1)])
def test_missed_budget_ends_with_code_1(
    capsys: pytest.CaptureFixture[str], measures: tuple[Measure, ...], code: int
) -> None:
    assert program.main(["one"], {"one": lambda: measures, "other": lambda: ()}) == code
    printed = capsys.readouterr()
    assert printed.out == table(measures) + "\n"
    assert len(printed.err.splitlines()) == len(measures), "each measure is told as it comes"


def test_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(["nothing"])
    assert ended.value.code == 2
    assert "unknown: nothing; known: exporter" in capsys.readouterr().err


def test_target_answers_on_every_address_and_port() -> None:
    from http.client import HTTPConnection

    with targets("--addresses", "2", "--ports", "2") as port:
        for host, number in (("127.0.0.1", port), ("127.0.0.2", port + 1)):
            connection = HTTPConnection(host, number, timeout=5)
            for _ in range(2):
                connection.request("POST", "/mcp", b'{"method":"server/discover"}')
                assert b"supportedVersions" in connection.getresponse().read()
            connection.close()


def test_program_that_never_answers_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="did not answer"), started(["true"], "http://127.0.0.1:1", ready="/"):
        pass


_CHILD = "import time; [time.process_time() for _ in iter(lambda: time.process_time() < 0.5, False)]; time.sleep(60)"
_PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_CHILD!r}])"


def test_work_and_memory_of_children_count_and_children_end_with_their_program() -> None:
    with started([sys.executable, "-c", _PARENT], core=0) as program:
        until(lambda: program.cpu_seconds() >= 0.3, "the child has worked")
        family = Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text(encoding="ascii").split()
        own = Path(f"/proc/{program.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        assert int(own[11]) + int(own[12]) < 0.3 * os.sysconf("SC_CLK_TCK")
        assert program.peak_memory_mebibytes() > 10
        assert os.sched_getaffinity(int(family[0])) == {0}
    until(lambda: not _runs(family[0]), "the child has ended")


def _runs(pid: str) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text(encoding="utf-8")


@pytest.mark.parametrize(("told", "expected"), [("322.00us", 0.322), ("5.93ms", 5.93), ("1.20s", 1200.0)])
def test_latencies_of_wrk_are_milliseconds(told: str, expected: float) -> None:
    page = f"Req/Sec  4.66k  250%  73.80%\n  Latency Distribution\n     50%    {told}\n     99%  2.00s\n"
    assert milliseconds(page, "50%") == pytest.approx(expected)
