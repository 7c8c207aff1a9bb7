"""What an ONNX file says of itself: read from its bytes, before anything of it is run.

The format is Protocol Buffers. Of its messages, those are walked through that name operations, tensors and
other files; see onnx.proto of the ONNX project for their numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from latentscan.errors import ParameterError
from latentscan.files import read_regular

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Field = tuple[int, int | memoryview]

# numbers of fields, by message
GRAPH, OPSETS, FUNCTIONS = 7, 8, 25  # of a model
NODES, INITIALIZERS, OUTPUTS, SPARSE = 1, 5, 12, 15  # of a graph
FUNCTION_NODES, FUNCTION_NAME, FUNCTION_DOMAIN = 7, 1, 10
NODE_INPUT, NODE_OUTPUT, OPERATION, ATTRIBUTES, DOMAIN = 1, 2, 4, 5, 7  # of a node
TENSORS_OF_ATTRIBUTE, GRAPHS_OF_ATTRIBUTE = (5, 10), (6, 11)
DIMS, KIND, NAME, EXTERNAL = 1, 2, 8, 13  # of a tensor

STANDARD = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"})
BYTES_OF_KIND = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}
FLOOR_BYTES = 64 * 2**20  # what may be claimed whatever the size of the files
LARGEST = 2**31  # bytes of a message of Protocol Buffers
MOST_NAMED = 8  # tensors in an error
FORWARDED = frozenset({"Identity", "Transpose", "Reshape", "Cast", "Squeeze", "Unsqueeze", "Flatten"})


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """A model in ONNX, with what lies beside it.

    Parameters
    ----------
    path
        Where it is.
    content
        Its bytes.
    beside
        The bytes of the files with its weights, by their paths in its folder.
    made_by
        The operation that makes each tensor, and its first input, by the tensor's name.
    """

    path: Path
    content: bytes = field(repr=False)
    beside: Mapping[str, bytes] = field(repr=False)
    made_by: Mapping[str, tuple[str, str]] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> OnnxFile:
        """Read a model, and check that it claims no more than it holds and no operation of someone's own.

        Raises
        ------
        ParameterError
            If it cannot be read, is damaged, or is no ONNX.
        """
        content = _content(path)
        try:
            found = _Walk()
            found.model(memoryview(content))
        except (ValueError, IndexError, RecursionError, UnicodeDecodeError) as error:
            raise _refused(
                path, f"expected an ONNX file; it is damaged, or something else ({error})"
            ) from None
        beside = {name: _content(_beside(path, name)) for name in sorted(found.files)}
        held = len(content) + sum(map(len, beside.values()))
        if found.claimed > max(FLOOR_BYTES, 2 * held):
            raise _refused(
                path,
                f"its weights claim {found.claimed:,} bytes, but there are only {held:,}; it is damaged, or "
                "made to fill memory",
            )
        foreign = [f"{domain}:{name}" for domain, name in found.used if domain not in STANDARD]
        foreign = [name for name in foreign if name not in found.defined]
        if foreign:
            raise _refused(
                path,
                f"needs operations that are not ONNX's own, {', '.join(sorted(set(foreign))[:3])}; export it "
                "with standard operations alone",
            )
        return cls(path, content, beside, found.made_by)

    def with_outputs(self, names: Sequence[str]) -> bytes:
        """Return the model with further tensors as outputs.

        Raises
        ------
        ValueError
            If there is no such tensor.
        """
        unknown = [name for name in names if name not in self.made_by]
        if unknown:
            inside = [name for name in self.made_by if name]
            some = ", ".join(inside[:MOST_NAMED]) + (", ..." if len(inside) > MOST_NAMED else "")
            raise ValueError(f"there is no output or tensor {unknown[0]}; it has {some}")
        if not names:
            return self.content
        added = b"".join(_message(OUTPUTS, _message(1, name.encode())) for name in names)
        # a message that comes in two parts is their union
        return self.content + _message(GRAPH, added)

    def last_operation(self, output: str) -> str:
        """Return the operation that makes an output, apart from those that do not change its values."""
        operation, source = self.made_by.get(output, ("", ""))
        while operation in FORWARDED and source in self.made_by:
            operation, source = self.made_by[source]
        return operation


def onnx_files(path: Path) -> dict[str, Path]:
    """Return the files of a model by their paths in its folder: its own, and those with its weights."""
    found = _Walk()
    try:
        found.model(memoryview(_content(path)))
    except (ValueError, IndexError, RecursionError, UnicodeDecodeError):
        return {path.name: path}  # which is refused when it is opened
    return {path.name: path, **{name: _beside(path, name) for name in sorted(found.files)}}


@dataclass
class _Walk:
    """What is found on the way through a model."""

    files: set[str] = field(default_factory=set)
    used: set[tuple[str, str]] = field(default_factory=set)
    defined: set[str] = field(default_factory=set)
    made_by: dict[str, tuple[str, str]] = field(default_factory=dict)
    claimed: int = 0

    def model(self, content: memoryview) -> None:
        graphs = 0
        for number, value in _fields(content):
            if number == GRAPH:
                graphs += 1
                self.graph(_part(value), outer=True)
            elif number == FUNCTIONS:
                self.function(_part(value))
        if not graphs or not self.used:
            raise ValueError("there is no graph in it")

    def graph(self, content: memoryview, *, outer: bool) -> None:
        for number, value in _fields(content):
            if number == NODES:
                self.node(_part(value), outer=outer)
            elif number == INITIALIZERS:
                self.tensor(_part(value))
            elif number == SPARSE:
                raise ValueError("it has sparse weights, which are not read")

    def function(self, content: memoryview) -> None:
        name = domain = ""
        for number, value in _fields(content):
            if number == FUNCTION_NODES:
                self.node(_part(value), outer=False)
            elif number == FUNCTION_NAME:
                name = _text(value)
            elif number == FUNCTION_DOMAIN:
                domain = _text(value)
        self.defined.add(f"{domain}:{name}")

    def node(self, content: memoryview, *, outer: bool) -> None:
        operation = domain = first = ""
        outputs = []
        for number, value in _fields(content):
            if number == OPERATION:
                operation = _text(value)
            elif number == DOMAIN:
                domain = _text(value)
            elif number == NODE_INPUT:
                first = first or _text(value)
            elif number == NODE_OUTPUT:
                outputs.append(_text(value))
            elif number == ATTRIBUTES:
                self.attribute(_part(value))
        self.used.add((domain, operation))
        if outer:
            self.made_by.update((name, (operation, first)) for name in outputs if name)

    def attribute(self, content: memoryview) -> None:
        for number, value in _fields(content):
            if number in TENSORS_OF_ATTRIBUTE:
                self.tensor(_part(value))
            elif number in GRAPHS_OF_ATTRIBUTE:
                self.graph(_part(value), outer=False)

    def tensor(self, content: memoryview) -> None:
        dims: list[int] = []
        kind = 1
        for number, value in _fields(content):
            if number == DIMS:
                dims += [value] if isinstance(value, int) else _numbers(value)
            elif number == KIND and isinstance(value, int):
                kind = value
            elif number == EXTERNAL:
                key, text = _entry(_part(value))
                if key == "location":
                    self.files.add(text)
        self.claimed += math.prod(dims) * BYTES_OF_KIND.get(kind, 1)


def _fields(content: memoryview) -> Iterator[Field]:
    """Yield the number and the value of each field of a message."""
    at = 0
    while at < len(content):
        key, at = _number(content, at)
        wire = key & 7
        if wire == 0:
            value, at = _number(content, at)
            yield key >> 3, value
            continue
        if wire == 2:
            length, at = _number(content, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"no message has a field of kind {wire}")
        if at + length > len(content):
            raise ValueError("it ends too early")
        yield key >> 3, content[at : at + length]
        at += length


def _number(content: memoryview, at: int) -> tuple[int, int]:
    """Return a number of variable length, and where it ends."""
    found = shift = 0
    while shift < 70:
        byte = content[at]
        found |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return found, at
    raise ValueError("a number in it has no end")


def _numbers(content: memoryview) -> list[int]:
    found, at = [], 0
    while at < len(content):
        number, at = _number(content, at)
        found.append(number)
    return found


def _part(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a message was expected in it, not a number")  # noqa: TRY004
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_part(value)).decode()


def _entry(content: memoryview) -> tuple[str, str]:
    found = {number: _text(value) for number, value in _fields(content)}
    return found.get(1, ""), found.get(2, "")


def _message(number: int, content: bytes) -> bytes:
    return _encoded(number << 3 | 2) + _encoded(len(content)) + content


def _encoded(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def _beside(path: Path, name: str) -> Path:
    """Return a file that a model names, which has to lie in its folder."""
    parts, file = PurePosixPath(name.replace("\\", "/")), path.parent / name
    folders = {path.parent.resolve(), path.resolve().parent}  # caches of downloads are made of links
    try:
        inside = any(file.resolve().is_relative_to(folder) for folder in folders)
        is_there = file.exists()
    except (OSError, ValueError) as error:  # no system has files of such a name
        raise _refused(path, f"names weights that no file can hold ({error}); it is damaged") from None
    if parts.is_absolute() or ".." in parts.parts or not inside:
        raise _refused(
            path, f"names weights outside of its folder, {name}; export it again, with its weights beside it"
        )
    if not is_there:
        raise _refused(path, f"its weights are in {name}, which is not beside it; copy both")
    return file


def _content(path: Path) -> bytes:
    def check(size: int) -> None:
        if path.suffix.lower() == ".onnx" and size > LARGEST:
            raise _refused(path, f"expected an ONNX file, of at most 2 GiB, got {size:,} bytes")

    try:
        return read_regular(path, check)
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror or error}") from None


def _refused(path: Path, problem: str) -> ParameterError:
    return ParameterError(problem, field="model", value=path)
