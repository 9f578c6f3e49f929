"""Generated files: written, or under --check compared byte for byte with what is committed."""

import difflib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TextIO


def write_or_check(
    files: Mapping[Path, str], *, check: bool, folder: Path | None = None, out: TextIO | None = None
) -> int:
    """Write the files and return 0; under `check` write nothing, print each difference and return 1 if there is one.

    With `folder`, files in it that are not among `files` are stale: removed, or reported under `check`.
    """
    out = out or sys.stdout
    stale = _stale(folder, files) if folder else []
    if check:
        differences = [*_differences(files), *(f"stale: {path}: no longer generated" for path in stale)]
        print(*differences, sep="\n", end="\n" if differences else "", file=out)
        return 1 if differences else 0
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if _read(path) != text:
            path.write_text(text, encoding="utf-8", newline="\n")
            print(f"wrote {path}", file=out)
    for path in stale:
        path.unlink()
        print(f"removed {path}", file=out)
    return 0


def _read(path: Path) -> str | None:
    """Return the file's exact text, carriage returns and all; None where there is no file."""
    return path.read_bytes().decode("utf-8", "replace") if path.exists() else None


def _stale(folder: Path, files: Mapping[Path, str]) -> list[Path]:
    kept = {path.resolve() for path in files}
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.resolve() not in kept)


def _differences(files: Mapping[Path, str]) -> Iterable[str]:
    for path, text in files.items():
        found = _read(path)
        if found is None:
            yield f"missing: {path}: run `make generate`"
        elif found != text:
            lines = difflib.unified_diff(
                found.splitlines(), text.splitlines(), f"{path} (committed)", f"{path} (generated)", lineterm=""
            )
            yield "\n".join(lines) or f"differs in line ends only: {path}"
