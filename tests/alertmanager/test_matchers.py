"""Matchers are read as amtool reads them, at both supported ends, in both notations."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from alertmanager import matchers
from tests.alertmanager.test_routes import Release, both_releases
from tests.tools import tool

CLASSIC = r"""
a="b" | a=b | a= b | a!="b" | a="" | a= | a!="" | a=~"b" | a!~"b" | a!~".*" | a=~"b.*|" | {a="b",c="d"}
a="b",c="d" | a=b,c=d | a="b", | {a="b" | a="b"} | {} | a="a\"b" | a="a\nb" | a="a\xb" | a="\\" | a=\\ | a=b\\
a="b\\\"" | a="x,y" | a="x\",y" | a="x\\",b="y" | a:b=c | a='b' | a=b c | a="ü" | a=ü | a="b\,c" | a=~"(?i)B"
a=~"\\pL+" | a=~"\pL+" | a=~"[[:alpha:]]" | a=~"b$" | a=~"\\Qb\\E" | a=~"b)|(c" | a=~"(?P<n>b)" | a=~"b\\z"
a=~"\\x{62}" | a=~"(?U)b+" | a=~"[^b]" | a=~"^b" | a=~"\\d+"
"""
QUOTED = r"""
"foo.bar"="x" | {"foo.bar"="x", a=~"b|c"} | föö="x" | föö=x | "a"="b" | "a"=b | "a"="b", | {"a.b"="c",}
"a\u0062"="x" | "a\x62"="x" | "0a"=b | 0a=b
"""
REFUSED = r"""
a="b | a=b" | a="\" | a="b",,c="d" | ,a="b" | a=~"[" | "a.b"=~"[" | =b | a b | a="b" c | a="b" c="d"
"a\q"="x" | {{a=b}} | {"a"="b" | "a"="b"} | "a.b"="c" "d"="e" | "a.b" | a=~"(b)\\1" | a=~"(?!b)" | a=~"\\Qb"
"""
LABELS: Sequence[Mapping[str, str]] = (
    *(
        {"a": value}
        for value in ("", "b", "B", "c", "5", 'a"b', "a\nb", "\\", "a\\xb", "b\\", 'b\\"', "x,y", "ü", "'b'")
    ),
    *({"a": value} for value in ("b c", "b\\,c", "b\nc", "Qb")),
    {"a": "b", "c": "d"},
    {"a": "x\\", "b": "y"},
    {"a:b": "c"},
)
QUOTED_LABELS: Sequence[Mapping[str, str]] = (
    *({name: "x"} for name in ("foo.bar", "föö", "ab")),
    {"foo.bar": "x", "a": "c"},
    {"a": "b"},
    {"a.b": "c"},
    {"0a": "b"},
)


def texts(table: str) -> list[str]:
    return [text.strip() for line in table.strip().splitlines() for text in line.split(" | ")]


def written(folder: Path, tried: Sequence[str]) -> Path:
    """Write a route for each text; all go on, so that one question tells of all."""
    routes = [{"receiver": f"r{n}", "matchers": [text], "continue": True} for n, text in enumerate(tried)]
    names = [{"name": name} for name in ("root", *(f"r{n}" for n in range(len(tried))))]
    file = folder / "alertmanager.yml"
    file.write_text(yaml.safe_dump({"route": {"receiver": "root", "routes": routes}, "receivers": names}))
    return file


def pair(name: str, value: str) -> str:
    plain = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    is_classic = name.isascii() and name.replace(":", "").isidentifier()
    return f'{name}="{plain}"' if is_classic else f'"{name}"="{plain}"'


def told(release: Release, file: Path, pairs: Sequence[str]) -> str:
    """Return what amtool says of who is told of an alert; the newer one warns before of what it finds old."""
    command = [str(tool("amtool", release)), "config", "routes", "test", f"--config.file={file}", *pairs]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def compare(folder: Path, release: Release, tried: Sequence[str], alerts: Sequence[Mapping[str, str]]) -> None:
    file = written(folder, tried)
    for labels in alerts:
        reached = told(release, file, [pair(name, value) for name, value in labels.items()]).split(",")
        for number, text in enumerate(tried):
            holds = all(matcher.holds(labels) for matcher in matchers.parse(text))
            assert holds == (f"r{number}" in reached), (text, labels)


@both_releases
def test_the_classic_notation_is_read_as_amtool_does(tmp_path: Path, release: Release) -> None:
    compare(tmp_path, release, texts(CLASSIC), LABELS)


def test_quoted_names_are_read_as_the_newer_amtool_does(tmp_path: Path) -> None:
    compare(tmp_path, "new", texts(QUOTED), QUOTED_LABELS)


@pytest.mark.parametrize("text", texts(REFUSED))
def test_what_amtool_refuses_is_refused_with_how_to_mend_it(tmp_path: Path, text: str) -> None:
    command: list[str | Path] = [tool("amtool", "new"), "check-config", written(tmp_path, [text])]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1
    with pytest.raises(ValueError, match=r"; (write|mend)"):
        matchers.parse(text)


@pytest.mark.parametrize("value", [None, 5, ["a=b"], {"a": "b"}])
def test_what_is_no_text_is_no_matcher(value: object) -> None:
    with pytest.raises(ValueError, match="no matcher"):
        matchers.parse(value)
