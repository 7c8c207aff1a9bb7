"""Text that every terminal can show, and streams that can be closed, full, or of any encoding.

Names come from outside: of images, of arrays, in a store's attributes, in the records of jobs. What a
terminal would obey or hide in them is shown as an escape, and what its encoding lacks as plain characters.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import re
import sys
import unicodedata
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console

_UNPLAIN = re.compile(r"[^\x20-\x7e\n\t]")
_SHOWN = frozenset({"Zs", "Co"})  # categories that Python calls unprintable, though terminals show them
_PLAIN = {  # what the package itself writes, in ASCII
    "−": "-",
    "–": "-",
    "—": "-",
    "±": "+-",
    "×": "x",
    "·": ".",
    "…": "...",
    "≠": "!=",
    "≈": "~",
    "≤": "<=",
    "≥": ">=",
    "∞": "inf",
    "²": "^2",
    "³": "^3",
    "½": "1/2",
    "√": "sqrt",
    "°": " deg",
    "σ": "sigma",
    "μ": "mu",
    "µ": "mu",
    "λ": "lambda",
    "π": "pi",
    "φ": "phi",
    "χ": "chi",
    "ρ": "rho",
    "Σ": "sum",
    "Δ": "delta",
    "ᵀ": "^T",
    "‖": "||",
    "→": "->",
    "←": "<-",
    "↑": "^",
    "↓": "v",
    "▼": "v",
    "₁": "1",
    "•": "*",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "\xa0": " ",
    "\u202f": " ",
    "\u2009": " ",
    **dict(zip("▁▂▃▄▅▆▇█", ".:-=+*#@", strict=True)),
    **dict.fromkeys("─━═", "-"),
    **dict.fromkeys("│┃║", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯╸╺", "+"),
}
_HANDLER = "latentscan-plain"
_GONE = frozenset({errno.EPIPE, errno.ESHUTDOWN, errno.ECONNRESET})


def printable(text: str) -> str:
    r"""Return a text with escapes for what a terminal would obey or hide; line ends and tabs stay.

    Control characters, marks of direction, characters of no width, and bytes of a file name that are no text.

    Examples
    --------
    >>> printable("a\x1b[2J"), printable("\u202egpj.exe"), printable("caf\u00e9 \udcff")
    ('a\\x1b[2J', '\\u202egpj.exe', 'café \\xff')
    """
    return _UNPLAIN.sub(lambda found: _escape(found[0]), text)


def one_line(text: object) -> str:
    r"""Return a name as `printable` does, on one line.

    Examples
    --------
    >>> one_line("a\nerror: b")
    'a\\nerror: b'
    """
    return printable(str(text)).replace("\n", "\\n").replace("\t", "\\t")


def plain(text: str, encoding: str) -> str:
    r"""Return a text with readable ASCII for the characters that an encoding lacks.

    Examples
    --------
    >>> plain("5.0 ± 0.1 σ", "latin-1"), plain("é", "ascii")
    ('5.0 ± 0.1 sigma', '\\xe9')
    """
    return text.encode(encoding, _HANDLER).decode(encoding)


def _escape(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) in _SHOWN:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name, by PEP 383
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _plain_error(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    shown = "".join(_PLAIN.get(one) or one.encode("ascii", "backslashreplace").decode() for one in lacking)
    return shown, error.end


codecs.register_error(_HANDLER, _plain_error)


class Stream(io.TextIOBase):
    """Standard output or standard error, whatever becomes of it: writing to it never fails.

    Text passes as `printable`, in what its encoding has. What can no longer be written, since nobody reads it
    or its disk is full, is dropped, and `lost` is why; the command goes on, for its exit code says what
    came of the work. There is no attribute `buffer`, for typer would write UTF-8 to it where it finds ASCII.

    Parameters
    ----------
    inner
        The stream as Python opened it.
    """

    def __init__(self, inner: TextIO) -> None:
        self._inner = inner
        self.lost: OSError | None = None
        if isinstance(inner, io.TextIOWrapper):
            inner.reconfigure(errors=_HANDLER)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream."""
        return self._inner.encoding or "ascii"

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """How it writes what its encoding lacks."""
        return self._inner.errors

    def write(self, text: str, /) -> int:
        """Write text without anything that a terminal would obey."""
        self.write_styled(printable(text))
        return len(text)

    def write_styled(self, text: str) -> None:
        """Write text with the codes of a terminal in it."""
        try:
            self._inner.write(text)
        except OSError as error:
            self._lose(error)

    def flush(self) -> None:
        """Write what is buffered."""
        try:
            self._inner.flush()
        except OSError as error:
            self._lose(error)

    def fileno(self) -> int:
        """Return the number of its file."""
        return self._inner.fileno()

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return self._inner.isatty()

    def writable(self) -> bool:
        """Return True."""
        return True

    @property
    def failed(self) -> OSError | None:
        """Why output is missing that somebody waited for; None where a reader just left early."""
        return None if self.lost is None or self.lost.errno in _GONE else self.lost

    def _lose(self, error: OSError) -> None:
        """Drop what is buffered and what is still to come."""
        self.lost = self.lost or error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._inner.fileno())
        os.close(nowhere)


class _Styled(io.TextIOBase):
    """What a console writes to: it escapes names itself, and styles are codes of the terminal."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def write(self, text: str, /) -> int:
        self._stream.write_styled(text)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()


def open_streams() -> tuple[Stream, Stream]:
    """Make standard output and standard error what a command can write to; return both.

    Those that are closed, and a closed standard input, become the null device: the next file that is opened
    would take their number, and receive what is written to them.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            os.set_inheritable(number, True)
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 (it stays open)
    out, err = Stream(sys.stdout), Stream(sys.stderr)
    sys.stdout, sys.stderr = cast("TextIO", out), cast("TextIO", err)
    return out, err


def console(stream: Any) -> Console:
    """Return a console that writes tables and bars to a stream, and shows names as text alone.

    Parameters
    ----------
    stream
        ``sys.stdout`` or ``sys.stderr``.
    """
    from rich.console import Console
    from rich.segment import Segment

    class Escaping(Console):
        """Escapes names before a table is arranged, and whatever reaches it as `Text` afterwards."""

        def render_str(self, text: str, **options: Any) -> Any:
            return super().render_str(plain(printable(text), self.encoding), **options)

        def render(self, renderable: Any, options: Any = None) -> Any:
            for segment in super().render(renderable, options):
                if segment.control or segment.text.isprintable():
                    yield segment
                else:
                    yield Segment(printable(segment.text), segment.style)

    stream = getattr(stream, "rich_proxied_file", stream)  # while another bar is shown
    file: Any = _Styled(stream) if isinstance(stream, Stream) else stream
    return Escaping(file=file, highlight=False, markup=False, emoji=False)
