"""Generated files are written, or compared byte for byte."""

import io
from pathlib import Path

from contract.generated import write_or_check


def test_writing_creates_folders_and_says_what_it_wrote(tmp_path: Path) -> None:
    out = io.StringIO()
    assert write_or_check({tmp_path / "a" / "b.yaml": "x: 1\n"}, check=False, out=out) == 0
    assert (tmp_path / "a" / "b.yaml").read_text() == "x: 1\n"
    assert "b.yaml" in out.getvalue()


def test_a_file_that_is_already_right_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("x: 1\n")
    before = file.stat().st_mtime_ns
    write_or_check({file: "x: 1\n"}, check=False, out=io.StringIO())
    assert file.stat().st_mtime_ns == before


def test_a_check_shows_the_difference_and_writes_nothing(tmp_path: Path) -> None:
    file, out = tmp_path / "a.yaml", io.StringIO()
    file.write_text("x: 1\n")
    assert write_or_check({file: "x: 2\n"}, check=True, out=out) == 1
    assert file.read_text() == "x: 1\n"
    assert "-x: 1" in out.getvalue()
    assert "+x: 2" in out.getvalue()


def test_a_check_sees_missing_files_and_foreign_line_ends(tmp_path: Path) -> None:
    file, out = tmp_path / "a.yaml", io.StringIO()
    file.write_bytes(b"x: 1\r\n")
    assert write_or_check({file: "x: 1\n", tmp_path / "b": ""}, check=True, out=out) == 1
    assert "line ends only" in out.getvalue()
    assert "make generate" in out.getvalue()


def test_a_check_that_finds_nothing_is_silent(tmp_path: Path) -> None:
    file, out = tmp_path / "a.yaml", io.StringIO()
    file.write_text("x: 1\n")
    assert write_or_check({file: "x: 1\n"}, check=True, folder=tmp_path, out=out) == 0
    assert out.getvalue() == ""


def test_files_that_nothing_generates_any_more_are_stale(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text("")
    out = io.StringIO()
    assert write_or_check({}, check=True, folder=tmp_path, out=out) == 1
    assert "old.yaml" in out.getvalue()
    assert write_or_check({}, check=False, folder=tmp_path, out=out) == 0
    assert [*tmp_path.iterdir()] == []
