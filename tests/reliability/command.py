"""The command line, run in this process, and what may be asked of it whatever it is given."""

from __future__ import annotations

import os
import re
import sys
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.reliability.campaign import Finding, Verdict
from tests.reliability.nursery import tail_of

if TYPE_CHECKING:
    from pathlib import Path

DONE, FAILED, BAD_USAGE, SOME_REJECTED, BAD_STORE, BAD_CLUSTER, UNSAFE = range(7)  # exit codes
_INTERNAL = re.compile(r"\(unexpected|Traceback \(most recent call last\)|Exception ignored in")
_NOISE = re.compile(r"^.*\b\w*Warning: .*$", re.MULTILINE)  # of libraries, which mean nothing to a user


@dataclass(frozen=True)
class Said:
    """The exit code of a command, and what it wrote."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def problem(self) -> str:
        """What no command may do: an internal error, or a library's warning; empty where it did not."""
        if found := _INTERNAL.search(self.err):
            return f"{found[0].strip('(')}: {tail_of(self.err)}"
        if found := _NOISE.search(self.err):
            return f"noise: {tail_of(found[0])}"
        return ""

    def breach(self, *codes: int) -> Finding | None:
        """Return a finding where a command did what none may do, or ended with another code than these."""
        spelled = " ".join(self.words)
        if self.problem:
            return Finding(Verdict.UNEXPECTED, f"{spelled}: {self.problem}")
        if self.code not in codes:
            expected = " or ".join(map(str, codes))
            said = f"{spelled}: exit {self.code}, expected {expected}: {tail_of(self.err)}"
            return Finding(Verdict.UNEXPECTED, said)
        return None


def run(*words: str | Path) -> Said:
    """Run `latentscan WORDS...` in this process, whose stdout and stderr are files that can be read."""
    from latentscan.cli import main

    sys.argv = ["latentscan", *map(str, words)]
    os.environ["COLUMNS"] = "80"
    began = [_length(stream) for stream in (1, 2)]
    code: int | str | None = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001 (it is what is looked for)
        traceback.print_exc()
        code = FAILED
    out, err = (_since(stream, start) for stream, start in zip((1, 2), began, strict=True))
    return Said(tuple(sys.argv[1:]), code if isinstance(code, int) else int(code is not None), out, err)


def _length(stream: int) -> int:
    (sys.stdout if stream == 1 else sys.stderr).flush()
    return os.fstat(stream).st_size


def _since(stream: int, start: int) -> str:
    """Return what was written to a stream, which is a file, since it had a length."""
    return os.pread(stream, _length(stream) - start, start).decode(errors="replace")
