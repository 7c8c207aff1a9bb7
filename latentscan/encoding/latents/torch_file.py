"""Tensors that torch.save wrote, read without torch and without running what a pickle may run.

The pickle is read as data, an instruction after another: the few names that tensors need are known here, and
nothing else is ever looked up or called.
"""

from __future__ import annotations

import math
import pickletools
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.arrays.held import LATENTS, Held
from latentscan.arrays.mapped import DAMAGES, brain_float, open_zip, start_of
from latentscan.errors import UnsafeInputError, UsageError, shown
from latentscan.files import open_regular

if TYPE_CHECKING:
    from pathlib import Path

_PICKLE_BYTES = 1 << 26
_KINDS = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "b1",
}
_REBUILD, _PARAMETER = "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"
_ORDERED = "collections OrderedDict"
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_VALUES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_PLAIN = frozenset(
    {"BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG", "BINFLOAT", "FLOAT"}
    | {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"}
)
_MARK = object()


@dataclass(frozen=True)
class _Name:
    """A name that a pickle asks for."""

    text: str


@dataclass(frozen=True)
class _Tensor:
    """A part of a stored row of numbers: its kind and key, where it begins, its axes and their steps."""

    kind: str
    key: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def torch_arrays(file: Path) -> dict[str, Held]:
    """Return the tensors in a .pt or .pth file, by the keys of the dictionaries and lists that hold them.

    Raises
    ------
    UnsafeInputError
        If it holds anything but tensors, numbers and texts, in dictionaries and lists.
    UsageError
        If it is damaged.
    """
    with open_regular(file) as stream:
        if stream.read(2) != b"PK":
            raise UnsafeInputError(
                f"{file}: is a pickle, or of a PyTorch before 1.6, which can run code when loaded; save "
                "the tensor again with torch.save, or as .safetensors or .npy"
            )
    with open_zip(file) as archive:
        members = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        if "data.pkl" not in members or members["data.pkl"].file_size > _PICKLE_BYTES:
            raise UsageError(f"{file}: was not written by torch.save; expected {LATENTS}")
        try:
            root = _Reader(file).run(archive.read(members["data.pkl"]))
            order = archive.read(members["byteorder"]) if "byteorder" in members else b"little"
            tensors = _tensors(root)
            return {
                name: _mapped(file, archive, members, tensor, ">" if order == b"big" else "<")
                for name, tensor in tensors.items()
            }
        except (*DAMAGES, IndexError, TypeError, KeyError, AttributeError) as error:
            raise UsageError(f"{file}: is damaged ({shown(error)}); save it again with torch.save") from error


class _Reader:
    """The stack of a pickle, on which nothing but data is put."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, content: bytes) -> Any:
        """Return what the pickle describes."""
        for opcode, argument, _ in pickletools.genops(content):
            self._step(opcode.name, argument)
        return self._stack.pop()

    def _step(self, name: str, argument: Any) -> None:  # noqa: PLR0912 (an instruction a branch)
        stack = self._stack
        if name in ("PROTO", "FRAME", "STOP"):
            return
        if name == "MARK":
            stack.append(_MARK)
        elif name in _PLAIN:
            stack.append(argument)
        elif name in _VALUES:
            stack.append(_VALUES[name])
        elif name in _TUPLES:
            stack.append(tuple(self._pop(_TUPLES[name])))
        elif name == "TUPLE":
            stack.append(tuple(self._marked()))
        elif name in ("EMPTY_DICT", "EMPTY_LIST"):
            stack.append({} if name == "EMPTY_DICT" else [])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            stack.append(self._name(argument if name == "GLOBAL" else " ".join(self._pop(2))))
        elif name in ("BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"):
            self._memo[len(self._memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self._memo[argument])
        elif name == "BINPERSID":
            stack.append(self._storage(stack.pop()))
        elif name == "REDUCE":
            function, arguments = self._pop(2)
            stack.append(self._made(function, arguments))
        elif name in ("SETITEM", "SETITEMS"):
            items = self._pop(2) if name == "SETITEM" else self._marked()
            for key, value in zip(items[::2], items[1::2], strict=True):
                if not isinstance(key, str | int | float):  # the hash of a tuple of tuples takes for ever
                    raise self._unsafe(f"keys that are {type(key).__name__}s")
                stack[-1][key] = value
        elif name in ("APPEND", "APPENDS"):
            added = self._pop(1) if name == "APPEND" else self._marked()
            stack[-1].extend(added)
        elif name == "BUILD" and isinstance(stack[-2], dict):
            stack.pop()  # what torch says of the versions of modules
        else:
            raise self._unsafe(f"the instruction {name}")

    def _pop(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise ValueError("its pickle is cut short")
        taken = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        return taken

    def _marked(self) -> list[Any]:
        taken = []
        while (value := self._stack.pop()) is not _MARK:
            taken.append(value)
        return taken[::-1]

    def _name(self, text: str) -> _Name:
        module, _, name = text.partition(" ")
        if text not in (_REBUILD, _PARAMETER, _ORDERED) and not (module == "torch" and name in _KINDS):
            raise self._unsafe(f"{module}.{name}")
        return _Name(text)

    def _storage(self, described: Any) -> tuple[str, str]:
        word, name, key, *_ = described
        if word != "storage" or not isinstance(name, _Name) or not name.text.startswith("torch "):
            raise self._unsafe(f"a reference to {shown(word)}")
        return _KINDS[name.text.removeprefix("torch ")], str(key)

    def _made(self, function: Any, arguments: Any) -> Any:
        if function == _Name(_ORDERED):
            return {}
        if function == _Name(_PARAMETER):
            return arguments[0]
        if function != _Name(_REBUILD):
            raise self._unsafe("a call")
        (kind, key), offset, shape, strides, *_ = arguments
        return _Tensor(kind, key, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))

    def _unsafe(self, what: str) -> UnsafeInputError:
        return UnsafeInputError(
            f"{self._file}: holds {shown(what)}, which can run code when loaded; expected tensors alone: "
            "save them with torch.save(latents, ...), or as .safetensors or .npy"
        )


def _tensors(root: Any) -> dict[str, _Tensor]:
    """Return the tensors in dictionaries and lists, each container looked at once."""
    found: dict[str, _Tensor] = {}
    waiting: list[tuple[str, Any]] = [("", root)]
    seen: set[int] = set()
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, _Tensor):
            found[name] = value
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            items = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [(f"{name}.{key}" if name else str(key), inner) for key, inner in items]
    return dict(reversed(found.items()))


def _mapped(file: Path, archive: zipfile.ZipFile, members: Any, tensor: _Tensor, order: str) -> Held:
    """Map a tensor, as its strides have it."""
    info = members[f"data/{tensor.key}"]
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError("its numbers are compressed")
    is_brain = tensor.kind == "bfloat16"
    dtype = np.dtype(f"{order}{'u2' if is_brain else tensor.kind}")
    count = info.file_size // dtype.itemsize
    steps = zip(tensor.shape, tensor.strides, strict=True)
    last = tensor.offset + sum((length - 1) * step for length, step in steps)
    whole = min((*tensor.shape, *tensor.strides, tensor.offset), default=0) >= 0
    start = start_of(archive, info)
    if not whole or (0 not in tensor.shape and last >= count) or start + info.file_size > file.stat().st_size:
        raise ValueError(f"a tensor of shape {tensor.shape} ends after its numbers")
    if 0 in tensor.shape or not math.prod(tensor.shape):
        return Held(tensor.shape, tensor.kind, lambda _start, _stop: np.zeros(tensor.shape, dtype))
    flat = np.memmap(file, dtype, "r", start, (count,))
    strides = tuple(step * dtype.itemsize for step in tensor.strides)
    view = np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, strides, writeable=False)

    def read(first: int, end: int) -> Any:
        return brain_float(view[first:end]) if is_brain else np.asarray(view[first:end])

    return Held(tensor.shape, tensor.kind if is_brain else dtype.str, read)
