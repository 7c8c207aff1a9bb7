"""Images in .tar files, read without unpacking them: WebDataset's shards, too.

The headers are read in one pass; a member is then one read at an offset, by any thread. tarfile is not used:
it holds all members in memory, and archives that are made for it keep some of its versions busy for ever.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from itertools import chain
from os.path import commonpath
from typing import TYPE_CHECKING

from latentscan.errors import ParameterError, UsageError
from latentscan.files import ShareableFile
from latentscan.images.decoding import check_bytes
from latentscan.images.packed import Members, PackedSource, member_path
from latentscan.images.source import PIXEL_LIMIT, ImageRejectedError, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from latentscan.images.preprocessing import Preprocessing

_BLOCK = 512
_LONGEST_EXTENSION = 1 << 20  # bytes of a header with long names and the like
_LARGEST = 1 << 60  # bytes
_MOST_OPEN = 64  # archives
_REGULAR, _LINKS, _SPARSE = (b"0", b"\0", b"7"), (b"1", b"2"), b"S"
_NO_FILE, _NOT_READ = -1, -2  # in place of an offset


def open_tars(
    files: Sequence[Path], name: str, preprocessing: Preprocessing, pixel_limit: int = PIXEL_LIMIT
) -> PackedSource:
    """Open the images in .tar files, in natural order of their paths; of several, the file's is before.

    Raises
    ------
    UsageError
        One of them is no .tar file, or is damaged, or none holds an image.
    """
    members = Members(3)
    base = commonpath([file.parent for file in files])
    for number, file in enumerate(files):
        prefix = f"{file.relative_to(base).as_posix().removesuffix('.tar')}/" if len(files) > 1 else ""
        try:
            _add(ShareableFile(file), number, members, prefix)
        except OSError as error:
            raise ParameterError(f"cannot be read ({error.strerror})", field="images", value=file) from error
        except (ValueError, UsageError) as error:
            msg = f"no .tar file that can be read ({error}); download or pack it again"
            raise ParameterError(msg, field="images", value=file) from error
    paths = members.paths(files[0] if len(files) == 1 else files[0].parent)
    contents = TarContents(files, members.table(paths))
    return PackedSource("tar", name, contents, paths, preprocessing, pixel_limit, notes=members.notes)


class TarContents:
    """The members of .tar files.

    Parameters
    ----------
    files
        The archives.
    members
        (row, offset, size, number of the archive); a negative offset says why there is none.
    """

    def __init__(self, files: Sequence[Path], members: NDArray[np.int64]) -> None:
        self._files = files
        self._members = members
        self._opened = lru_cache(_MOST_OPEN)(ShareableFile)

    def read(self, row: int, pixel_limit: int) -> bytes:
        """Return the content of a member."""
        offset, size, number = self._members[row].tolist()
        if offset == _NO_FILE:
            raise ImageRejectedError(Status.MISSING, "a link to what is no image in the archive")
        if offset == _NOT_READ:
            raise ImageRejectedError(Status.UNREADABLE, "a sparse file: unpack the archive")
        check_bytes(size, pixel_limit)
        try:
            content = self._opened(self._files[number]).read(offset, size)
        except FileNotFoundError as error:
            raise ImageRejectedError(Status.MISSING, "the archive is not there") from error
        except OSError as error:
            raise ImageRejectedError(Status.UNREADABLE, f"cannot be read: {error.strerror}") from error
        if len(content) < size:
            raise ImageRejectedError(Status.DAMAGED, "the archive is cut short")
        return content


def _add(file: ShareableFile, number: int, members: Members, prefix: str) -> None:
    """Add the images in an archive; a link is what it leads to in the same archive."""
    links = defaultdict[str, list[str]](list)  # names by what they lead to
    for name, kind, start, size, target in _headers(file):
        if kind in _REGULAR and not name.endswith("/"):
            members.add(name, (start, size, number), prefix)
        elif kind == _SPARSE:
            members.add(name, (_NOT_READ, 0, number), prefix)
        elif kind in _LINKS:
            folder = name.rpartition("/")[0] if kind == b"2" else ""
            links[prefix + _joined(folder, target)].append(name)
    ready = [(path, values) for path in links if (values := members.values(path)) is not None]
    while ready:
        path, values = ready.pop()
        for name in links.pop(path, ()):
            members.add(name, values, prefix)
            ready.append((prefix + member_path(name), values))  # a link may lead to a link
    for name in chain.from_iterable(links.values()):
        members.add(name, (_NO_FILE, 0, number), prefix)


def _joined(folder: str, target: str) -> str:
    parts: list[str] = []
    for part in f"{folder}/{target}".split("/"):
        if part == "..":
            del parts[-1:]
        else:
            parts.append(part)
    return member_path("/".join(parts))


def _headers(file: ShareableFile) -> Iterator[tuple[str, bytes, int, int, str]]:
    """Yield the name of every member, its kind, where its content begins, its size, and what it links to.

    Raises
    ------
    ValueError
        A header is damaged.
    """
    at, said = 0, dict[str, str]()
    while header := file.read(at, _BLOCK):
        if not any(header) and at:
            return
        if not _is_header(header):
            raise ValueError(f"no header at byte {at:,}" if at else "it does not begin with a header")
        kind, size = header[156:157], _number(header[124:136])
        at += _BLOCK
        if kind in b"xLK":
            if size > _LONGEST_EXTENSION:
                raise ValueError(f"a header of {size:,} bytes")
            content = file.read(at, size)
            said |= _extended(content) if kind == b"x" else {_LONG[kind]: _text(content)}
        elif kind != b"g":
            size = _checked(int(said["size"])) if said.get("size", "").isdecimal() else size
            sparse = kind == _SPARSE or any(key.startswith("GNU.sparse.") for key in said)
            if kind == _SPARSE:
                at = _behind_map(file, at, header)
            name = said.get("GNU.sparse.name") or said.get("path") or _name(header)
            yield name, _SPARSE if sparse else kind, at, size, said.get("linkpath") or _text(header[157:257])
            size = 0 if kind in b"123456" else size
            said = {}
        at += -(-size // _BLOCK) * _BLOCK


def _is_header(block: bytes) -> bool:
    """Check the sum of a header's bytes, in which that of the sum itself counts as blanks."""
    said = block[148:156].partition(b"\0")[0].strip()
    expected = sum(block) - sum(block[148:156]) + 256
    return len(block) == _BLOCK and said.lstrip(b"0") == b"%o" % expected


_LONG = {b"L": "path", b"K": "linkpath"}


def _extended(content: bytes) -> dict[str, str]:
    r"""Return the records of an extended header, ``length key=value``.

    Examples
    --------
    >>> _extended(b"16 path=a/1.jpg\n")
    {'path': 'a/1.jpg'}
    """
    found: dict[str, str] = {}
    at = 0
    while at < len(content):
        digits = content[at : at + 20].partition(b" ")[0]
        if not digits.isdigit() or not int(digits):
            break
        key, _, value = content[at + len(digits) + 1 : at + int(digits) - 1].partition(b"=")
        found[_text(key)] = _text(value)
        at += int(digits)
    return found


def _behind_map(file: ShareableFile, at: int, header: bytes) -> int:
    """Return where the content of a sparse file begins: behind the blocks that say where it has holes."""
    is_followed = header[482]
    while is_followed:
        block = file.read(at, _BLOCK)
        at += _BLOCK
        is_followed = block[504] if len(block) == _BLOCK else 0
    return at


def _name(header: bytes) -> str:
    name, prefix = _text(header[:100]), _text(header[345:500])
    return f"{prefix}/{name}" if prefix and header[257:263] == b"ustar\0" else name


def _number(field: bytes) -> int:
    """Return a number: octal digits, or a marked big-endian one.

    Raises
    ------
    ValueError
        If it is none, or negative.
    """
    if field[:1] == b"\x80":
        return _checked(int.from_bytes(field[1:]))
    digits = field.partition(b"\0")[0].strip()
    if not digits.isdigit() and digits:
        raise ValueError("a number in a header is none")
    return _checked(int(digits or b"0", 8))


def _checked(size: int) -> int:
    if size > _LARGEST:
        raise ValueError(f"a size of {size:,} bytes")
    return size


def _text(field: bytes) -> str:
    text = field.partition(b"\0")[0]
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")
