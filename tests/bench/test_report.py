"""The benchmarks' table, and how benchmarks are found and judged."""

import re
from pathlib import Path

import pytest

import bench.__main__ as program
from bench.processes import started, targets
from bench.report import Measure, table

MET = Measure("probes", 4200.4, "/s", "blackbox_exporter 1,400", 3.0, at_least=3)
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
        "measure  ours        peer                     ratio  budget",
        "-------  ----------  -----------------------  -----  ------  ------",
        "probes   4,200 /s    blackbox_exporter 1,400  3.00x  >= 3x   met",
        "memory   251 MiB                                     <= 250  MISSED",
        "share    0.46 cores",
    ]


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
