"""The house rules that a machine can hold: imports point one way, secrets' libraries stay in their modules."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.__main__ import PAGE, page
from contract.metrics import CATALOGUE

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {
    "contract": {"contract"},
    "rules": {"contract", "rules"},
    "alertmanager": {"contract", "rules", "alertmanager"},
    "dashboards": {"contract", "rules", "dashboards"},
    "incident_desk": {"contract", "rules", "incident_desk"},
    "exporter": {"contract", "exporter"},
    "auth_sidecar": {"contract", "auth_sidecar"},
    "demo": {"contract", "demo"},
    "deploy": {"contract", "deploy"},
    "bench": {"contract", "deploy", "exporter", "auth_sidecar", "bench"},
}
OWN = set(ALLOWED)
CONFINED = {
    "jwt": ("auth_sidecar/keys", "auth_sidecar/tokens", "demo/"),
    "cryptography": (
        "auth_sidecar/keys",
        "auth_sidecar/tokens",
        "auth_sidecar/audit",
        "auth_sidecar/encryption",
        "demo/",
    ),
    "opentelemetry": ("contract/tracing_otlp", "demo/"),
    "mcp": ("demo/",),
}


def modules() -> list[Path]:
    return sorted(path for package in ALLOWED for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports_of(path: Path) -> Iterator[str]:
    """Yield the top-level packages that a module imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports name their package"
            yield str(node.module).split(".")[0]


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    package = name_of(path).split("/")[0]
    assert set(imports_of(path)) & OWN <= ALLOWED[package]


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_keys_tokens_and_traces_are_touched_only_where_they_belong(path: Path) -> None:
    if name_of(path).startswith("bench/"):
        return
    for library, places in CONFINED.items():
        assert library not in imports_of(path) or name_of(path).startswith(places), f"{library} does not belong here"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring, "a module begins with what it is and why it exists"


def test_every_test_folder_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_the_metric_reference_is_the_catalogue() -> None:
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(CATALOGUE.values())
