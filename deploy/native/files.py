"""Files written only when they change, whole or not at all, and what tells two states of them apart."""

import hashlib
import os
from collections.abc import Container, Iterable
from pathlib import Path


def write_if_changed(file: Path, text: str, *, mode: int = 0o644) -> bool:
    """Replace a file's content in one step; tell whether it differed."""
    if file.is_file() and file.read_text(encoding="utf-8") == text:
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.new")
    with os.fdopen(os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode), "w", encoding="utf-8") as handle:
        handle.write(text)
    temporary.replace(file)
    return True


def digest(paths: Iterable[Path], text: str = "", suffixes: Container[str] | None = None) -> str:
    """Return a digest of the text, the files, and every file in the folders (of these suffixes), with their names."""
    result = hashlib.sha256(text.encode())
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.suffix != ".pyc" and (suffixes is None or file.suffix in suffixes):
                result.update(f"{file}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return result.hexdigest()[:32]
