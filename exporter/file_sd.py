"""Target files in Prometheus' file_sd form: read again when they change; a broken one keeps its last good targets."""

import logging
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contract.config import ConfigError, Problem
from exporter.config import ExporterConfig, FileSd
from exporter.targets import Target, of_file

logger = logging.getLogger(__name__)

RESCAN_SECONDS = 5.0
MAX_FILE_BYTES = 32 * 1024 * 1024

Signature = tuple[int, int, int]


@dataclass
class _File:
    signature: Signature | None
    targets: list[Target]
    problems: tuple[Problem, ...] = ()


class TargetFiles:
    """The target files that a configuration names. Blocking: meant for a thread."""

    def __init__(self, config: ExporterConfig, previous: "TargetFiles | None" = None) -> None:
        self._config = config
        self._files: dict[tuple[str, Path], _File] = {}
        self._unmatched: list[Path] = previous.unmatched() if previous else []
        self._previous = previous._files if previous else {}

    def scan(self) -> list[Target]:
        """Look at every file once and return all targets, in the order of the configuration."""
        seen: dict[tuple[str, Path], _File] = {}
        for group, pattern, path in self._matches():
            key = (str(pattern), path)
            last_good = self._files.get(key) or self._carried(key)
            seen[key] = self._read(path, group, last_good)
        self._files, self._previous = seen, {}
        self._note_unmatched()
        return [target for file in seen.values() for target in file.targets]

    def states(self) -> dict[str, bool]:
        """Return for every pattern whether all its files are good; a file named without wildcards must be there."""
        states = {str(pattern): is_pattern(pattern) or pattern not in self._unmatched for pattern in self._patterns()}
        for (pattern, _), file in self._files.items():
            states[pattern] = states.get(pattern, True) and not file.problems
        return states

    def problems(self) -> list[Problem]:
        """Return everything that is wrong with the files."""
        return [problem for file in self._files.values() for problem in file.problems]

    def unmatched(self) -> list[Path]:
        """Return the patterns that no file fits."""
        return self._unmatched

    def _patterns(self) -> Iterator[Path]:
        return (pattern for group in self._config.file_sd for pattern in group.files)

    def _note_unmatched(self) -> None:
        matched = {pattern for pattern, _ in self._files}
        unmatched = [pattern for pattern in self._patterns() if str(pattern) not in matched]
        for pattern in unmatched:
            if pattern not in self._unmatched:
                logger.warning("no target file fits the pattern", extra={"file": str(pattern)})
        self._unmatched = unmatched

    def _carried(self, key: tuple[str, Path]) -> _File | None:
        """Take a file's last good targets over from before a reload, without believing that it is unchanged."""
        known = self._previous.get(key)
        return _File(None, known.targets) if known else None

    def _matches(self) -> Iterator[tuple[FileSd, Path, Path]]:
        for group in self._config.file_sd:
            for pattern in group.files:
                folder = pattern.parent
                for path in sorted(folder.glob(pattern.name)) if folder.is_dir() else ():
                    yield group, pattern, path

    def _read(self, path: Path, group: FileSd, last: _File | None) -> _File:
        try:
            signature, content = _content(path, last.signature if last else None)
            if last is not None and content is None:
                return last
            targets = of_file(path, content or b"", group, self._config)
        except ConfigError as error:
            return self._broken(path, last, error.problems)
        except OSError as error:
            problem = Problem(str(path), 1, "", f"cannot be read: {error.strerror}", "check path and rights")
            return self._broken(path, last, (problem,))
        logger.info("target file read", extra={"file": str(path), "targets": len(targets)})
        return _File(signature, targets)

    @staticmethod
    def _broken(path: Path, last: _File | None, problems: tuple[Problem, ...]) -> _File:
        kept = last.targets if last else []
        if last is None or last.problems != problems:
            extra = {"file": str(path), "problems": [str(problem) for problem in problems], "kept_targets": len(kept)}
            logger.error("target file cannot be used, its last good targets stay", extra=extra)
        return _File(None, kept, problems)


def is_pattern(path: Path) -> bool:
    """Whether a path may stand for any number of files, none among them."""
    return any(character in path.name for character in "*?[")


def _content(path: Path, known: Signature | None) -> tuple[Signature, bytes | None]:
    """Return a file's signature and its content, None where the signature is the known one."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        # Opening a pipe would wait for whoever writes into it.
        raise ConfigError([Problem(str(path), 1, "", "not a regular file", "remove it, or narrow the pattern")])
    signature = (status.st_mtime_ns, status.st_size, status.st_ino)
    if signature == known:
        return signature, None
    if status.st_size > MAX_FILE_BYTES:
        problem = Problem(str(path), 1, "", f"larger than {MAX_FILE_BYTES} bytes", "split it")
        raise ConfigError([problem])
    with path.open("rb") as file:
        return signature, file.read(MAX_FILE_BYTES + 1)
