"""The rooms, their doors, and the one direction of imports, read from the source with `ast`."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer

import latentscan
from latentscan.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(latentscan.__file__).parent

# the order in which the data passes them, and then those who use all of it: each may import earlier ones
FLOORS = (
    *("errors", "terminal", "progress", "processors", "paths", "files", "arrays"),
    *("images", "models", "store", "kernels", "execution", "cluster", "scan", "encoding", "analyses"),
    *("report", "jobs", "synth", "api", "__init__", "demo", "study", "cli", "__main__"),
)

DOORS = {
    "tensorflow": ("models",),
    "keras": ("models",),
    "zarr": ("store",),
    "xarray": ("store",),
    "dask": ("execution", "cluster"),
    "distributed": ("execution", "cluster"),
    "dask_jobqueue": ("cluster",),
    "dask_kubernetes": ("cluster",),
    "dask_gateway": ("cluster",),
    "fsspec": ("paths",),
    "matplotlib": ("report",),
    "bokeh": ("report",),
    "jinja2": ("report",),
    "typer": ("cli",),
    "sklearn": ("analyses",),
    "openTSNE": ("analyses",),
    "faiss": ("analyses",),
    "scipy": ("analyses",),
    "click": None,  # typer carries its own
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every imported module, those inside functions and those for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""


def type_only(path: Path) -> set[str]:
    """What is imported under `if TYPE_CHECKING:` alone."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for inner in node.body:
                if isinstance(inner, ast.Import):
                    names |= {alias.name for alias in inner.names}
                elif isinstance(inner, ast.ImportFrom):
                    names.add(inner.module or "")
    return names


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_each_library_has_one_door(path: Path) -> None:
    for name in set(imports(path)) - type_only(path):
        top = name.partition(".")[0]
        if top in DOORS:
            assert room(path) in (DOORS[top] or ()), f"{name} is imported outside {DOORS[top]}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_go_one_way(path: Path) -> None:
    own = room(path)
    assert own in FLOORS, f"{own} has no floor"
    for name in imports(path):
        top, _, rest = name.partition(".")
        other = rest.partition(".")[0] or "__init__"
        if top == "latentscan" and other != own:
            assert FLOORS.index(other) < FLOORS.index(own), f"{own} imports {name}, which comes later"


# the options of Dask's own commands, which messages about clusters name
DASKS = ("--dashboard-address", "--nthreads", "--resources")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
VERBS = "|".join(typer.main.get_command(app).list_commands(None))  # type: ignore[attr-defined]
COMMAND = re.compile(rf"\blatentscan (?:{VERBS})\b")
FACES = ("cli", "__main__")  # what a user of the command line reads is written there


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Every text in the code, docstrings left out, with its line."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


@pytest.mark.parametrize(
    "path",
    [path for path in modules() if room(path) not in FACES],
    ids=lambda p: p.relative_to(PACKAGE).as_posix(),
)
def test_the_command_line_alone_spells_flags_and_commands(path: Path) -> None:
    """Others name a parameter or a command in a mark, which each interface spells in its own way."""
    for line, text in literals(path):
        found = [flag for flag in FLAG.findall(text) if flag not in DASKS]
        found += COMMAND.findall(text)
        assert not found, f"{path}:{line}: {found}; use latentscan.errors.parameter or command"


def test_kernels_know_only_numpy_and_each_other() -> None:
    allowed = {
        "numpy",
        "latentscan.kernels",
        "__future__",
        "collections",
        "dataclasses",
        "math",
        "typing",
        "functools",
    }
    for path in sorted((PACKAGE / "kernels").glob("*.py")):
        for name in imports(path):
            assert name in allowed or any(name.startswith(f"{top}.") for top in allowed), f"{path}: {name}"


def test_no_cycle_between_modules() -> None:
    graph = {}
    for path in modules():
        dotted = ".".join(["latentscan", *path.relative_to(PACKAGE).with_suffix("").parts])
        graph[dotted.removesuffix(".__init__")] = set(imports(path))
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail, module])
        if module in done or module not in graph:
            return
        for name in graph[module]:
            visit(name, (*trail, module))
        done.add(module)

    for module in graph:
        visit(module, ())
