"""Configuration files: strict YAML into frozen models, every problem at once with file, line, field and mend."""

import difflib
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar, get_args

import pydantic

from contract import yaml_source
from contract.salvage import salvage
from contract.yaml_source import Location, Source

__all__ = [
    "PATHS_START_AT",
    "ConfigError",
    "Finding",
    "ForeignModel",
    "Loaded",
    "Location",
    "Model",
    "Problem",
    "exit_with",
    "gathering",
    "load",
    "load_text",
]


PATHS_START_AT = "# relative paths start at: "
"""What the last line of a file begins with that is a copy: paths in it mean what they mean in the original's folder."""


class Model(pydantic.BaseModel):
    """Base of all configuration models: frozen, unknown keys refused."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class ForeignModel(Model):
    """Base of what is read of other programs' files: other keys are passed over, null is as good as left out."""

    model_config = pydantic.ConfigDict(extra="ignore")

    @pydantic.model_validator(mode="before")
    @classmethod
    def _leave_out_null(cls, value: Any) -> Any:
        return {key: each for key, each in value.items() if each is not None} if isinstance(value, Mapping) else value


M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Finding:
    """What a check across fields found: where, what is wrong, how to mend it."""

    location: Location
    message: str
    mend: str
    is_warning: bool = False


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong in a file; `field` is dotted, `line` counts from 1."""

    file: str
    line: int
    field: str
    message: str
    mend: str
    is_warning: bool = False

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " + (f"{self.field}: " if self.field else "")
        return where + self.message + (f" ({self.mend})" if self.mend else "")


class ConfigError(Exception):
    """A configuration cannot be used; `problems` names every reason, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


@contextmanager
def gathering(problems: list[Problem]) -> Iterator[None]:
    """Add what a reading finds to the problems and go on, so that several sources tell theirs at once."""
    try:
        yield
    except ConfigError as error:
        problems += error.problems


@dataclass(frozen=True)
class Loaded(Generic[M]):
    """A usable configuration and what is questionable about it."""

    config: M
    warnings: tuple[Problem, ...] = ()


def no_findings(_config: Any) -> Iterable[Finding]:
    """Check nothing beyond the fields themselves."""
    return ()


def load(
    path: Path,
    model: type[M],
    check: Callable[[M], Iterable[Finding]] = no_findings,
    environ: Mapping[str, str] | None = os.environ,
) -> Loaded[M]:
    """Read a YAML file into a model; relative paths in it start at the file's folder (see PATHS_START_AT for copies).

    Without `environ` nothing is expanded, and every value comes as the text that stands there.

    Raises ConfigError with every problem of the file, also when it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError([Problem(str(path), 1, "", "the file does not exist", "check the path")]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            [Problem(str(path), 1, "", f"cannot be read: {error}", "check rights and encoding")]
        ) from None
    return load_text(text, path, model, check, environ)


def load_text(
    text: str,
    file: Path,
    model: type[M],
    check: Callable[[M], Iterable[Finding]] = no_findings,
    environ: Mapping[str, str] | None = os.environ,
) -> Loaded[M]:
    """Read YAML text as if it stood in `file`; see `load`."""
    source = yaml_source.parse(text, environ)
    problems = [Problem(str(file), p.line, _dotted(p.location), p.message, p.mend) for p in source.problems]
    context: dict[str, Any] = {"folder": _folder(text, file), "warnings": []}
    try:
        config = model.model_validate(source.value if source.value is not None else {}, context=context)
    except pydantic.ValidationError as error:
        broken = {problem.field for problem in problems}
        found = [_problem(str(file), source, model, detail) for detail in error.errors(include_url=False)]
        found += _findings_in_the_rest(str(file), source, model, check, context)
        raise ConfigError([*problems, *(problem for problem in found if problem.field not in broken)]) from None
    findings = [*check(config)]
    problems += [_finding(str(file), source, finding) for finding in findings]
    warnings = tuple(Problem(str(file), 1, "", message, mend, is_warning=True) for message, mend in context["warnings"])
    if any(not problem.is_warning for problem in problems):
        raise ConfigError(problem for problem in problems if not problem.is_warning)
    return Loaded(config, warnings + tuple(sorted(problem for problem in problems if problem.is_warning)))


def _folder(text: str, file: Path) -> Path:
    """Return where relative paths of a file start."""
    _, is_copy, folder = text.rpartition(f"\n{PATHS_START_AT}")
    return Path(folder.strip()) if is_copy else file.parent


def exit_with(error: ConfigError) -> NoReturn:
    """Print every problem to standard error and end with exit code 2."""
    print(error, file=sys.stderr)
    count = len(error.problems)
    print(f"{count} problem{'s' if count != 1 else ''}; nothing was changed", file=sys.stderr)
    raise SystemExit(2)


def _findings_in_the_rest(
    file: str, source: Source, model: type[M], check: Callable[[M], Iterable[Finding]], context: Mapping[str, Any]
) -> list[Problem]:
    """Check across fields what does validate, so that one reading tells every problem."""
    rest = salvage(source, model, context)
    if rest is None:
        return []
    found = [finding for finding in check(rest.config) if not finding.is_warning and rest.tells_of(finding.message)]
    return [_finding(file, source, replace(finding, location=rest.original(finding.location))) for finding in found]


def _finding(file: str, source: Source, finding: Finding) -> Problem:
    line, _ = source.place(finding.location)
    return Problem(file, line, _dotted(finding.location), finding.message, finding.mend, finding.is_warning)


def _problem(file: str, source: Source, model: type[Model], detail: Any) -> Problem:
    """Turn one of pydantic's errors into a Problem that a person can act on."""
    location: Location = tuple(detail["loc"])
    line, known = source.place(location)
    kind, message, mend = detail["type"], str(detail["msg"]), ""
    if kind == "extra_forbidden":
        message, mend = "unknown key", _known_keys(model, location)
    elif kind == "missing":
        known, message, mend = (*known, location[-1]), "the key is missing", "add it"
    elif kind == "value_error":
        message, _, mend = str(detail["ctx"]["error"]).partition("; ")
    elif kind in ("model_type", "dict_type"):
        message, mend = "a mapping of keys to values is wanted", f"found {_shown(detail['input'])}"
    else:
        mend = f"found {_shown(detail['input'])}"
    return Problem(file, line, _dotted(known), message[:1].lower() + message[1:], mend)


def _shown(value: object) -> str:
    return "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list) else repr(value)


def _known_keys(model: type[Model], location: Location) -> str:
    fields = sorted({name for owner in _models_at(model, location[:-1]) for name in _keys(owner)})
    near = difflib.get_close_matches(str(location[-1]), fields, n=1)
    return f"did you mean {near[0]}?" if near else f"known keys: {', '.join(fields)}"


def _keys(model: type[Model]) -> Iterator[str]:
    return (field.alias or name for name, field in model.model_fields.items())


def _models_at(model: type[Model], location: Location) -> list[type[Model]]:
    """Return the models that may stand at a location, following fields, lists, mappings and unions."""
    candidates: list[Any] = [model]
    for step in location:
        inner = [annotation for candidate in candidates for annotation in _inside(candidate, step)]
        candidates = inner or candidates
    return [candidate for candidate in candidates if isinstance(candidate, type) and issubclass(candidate, Model)]


def _inside(candidate: Any, step: str | int) -> Iterator[Any]:
    if isinstance(candidate, type) and issubclass(candidate, Model):
        for name, field in candidate.model_fields.items():
            if step in (name, field.alias):
                yield from _flat(field.annotation)


def _flat(annotation: Any) -> Iterator[Any]:
    """Yield the classes named anywhere in an annotation: `dict[str, A | B]` gives str, A and B."""
    arguments = get_args(annotation)
    if not arguments:
        yield annotation
    for argument in arguments:
        yield from _flat(argument)


def _dotted(location: Location) -> str:
    return ".".join(str(step) for step in location)


def is_world_readable(path: Path) -> bool:
    """Whether every user of the machine may read the file."""
    return bool(path.stat().st_mode & stat.S_IROTH)
