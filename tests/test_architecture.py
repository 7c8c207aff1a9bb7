"""The rooms, their doors, and the one direction of imports, read from the source with `ast`."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import latentscan

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(latentscan.__file__).parent

# the way of the data: a room may import what stands before it
ROOMS = ("images", "models", "store", "kernels", "engine", "analyses", "report")
FOR_ALL = {"errors", "progress", "processors", "locations"}
# modules above the rooms; nothing in a room may import them
ABOVE = {
    *("__init__", "__main__", "api", "cli", "demo", "encode", "encoding", "gallery", "generate", "ingest"),
    *("jobs", "table"),
}

DOORS = {
    "tensorflow": "models",
    "keras": "models",
    "zarr": "store",
    "xarray": "store",
    "dask": "engine",
    "distributed": "engine",
    "dask_jobqueue": "engine",
    "dask_kubernetes": "engine",
    "dask_gateway": "engine",
    "fsspec": "locations",
    "matplotlib": "report",
    "typer": "cli",
    "sklearn": "analyses",
    "openTSNE": "analyses",
    "faiss": "analyses",
    "scipy": "analyses",
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
            assert room(path) == DOORS[top], f"{name} is imported outside {DOORS[top]}/"


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_go_one_way(path: Path) -> None:
    own = room(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "latentscan" or len(parts) == 1 or parts[1] in FOR_ALL | {own}:
            continue
        if own in ROOMS:
            assert parts[1] in ROOMS[: ROOMS.index(own)], f"{own}/ imports {name}, which comes later"
        else:
            assert own in ABOVE, f"{own} is in no room"


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
