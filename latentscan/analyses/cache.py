"""How an analysis is run, and how what it finds is kept in a store and found again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from latentscan.errors import LatentscanError
from latentscan.execution.threaded import IN_PROCESS
from latentscan.progress import SILENT
from latentscan.store.results import load_result, require_place, result_path, save_result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from pydantic import BaseModel

    from latentscan.execution.executor import Executor
    from latentscan.progress import Progress
    from latentscan.store.reader import LatentStore
    from latentscan.store.results import Result


class NotKeptError(LatentscanError):
    """A result that is not there, where nothing is to be computed."""


@dataclass(frozen=True)
class Run:
    """How an analysis is run; nothing here changes what it finds.

    Parameters
    ----------
    results
        Path of another store to keep results in; the store itself if None.
    force
        Compute anew what is there already.
    kept_only
        Compute nothing: raise `NotKeptError` for what is not there.
    allow_partial
        Go ahead where some blocks are not written yet, and leave them out.
    workers
        Where tasks run: the threads of this process, or a cluster.
    progress
        Who is told how far it is.
    """

    results: str | None = None
    force: bool = False
    kept_only: bool = False
    allow_partial: bool = False
    executor: Executor = IN_PROCESS
    progress: Progress = SILENT


def kept(
    name: str,
    version: int,
    store: LatentStore,
    parameters: BaseModel,
    run: Run,
    compute: Callable[[NDArray[np.uint8]], Result],
    *,
    digests: NDArray[np.uint8] | None = None,
    builds_on: Sequence[int] = (),
) -> Result:
    """Read a result where it is there already; else compute and keep it.

    Parameters
    ----------
    name
        Names the result's place in the store, ``analyses/<name>/<key>``.
    version
        To be raised when the numbers or their names change, so that older results are not read.
    parameters
        Those that change what is found; they make the key, together with the data.
    compute
        Computes the result of the blocks that are written, from the commit record (block, array, 32).
    digests
        The commit record that a larger computation works from; read anew if None, since the store may grow.
    builds_on
        The versions of other results that go into this one.

    Raises
    ------
    StoreError
        If the store is incomplete or damaged.
    UsageError
        If the result cannot be kept where it should be.
    """
    if digests is None:
        digests = store.readable_digests(allow_partial=run.allow_partial)
    path = result_path(name, (version, *builds_on), parameters.model_dump(mode="json"), digests)
    return kept_at(run.results or store.location, path, run, partial(compute, digests))


def kept_at(home: str, path: str, run: Run, compute: Callable[[], Result]) -> Result:
    """Read the result of a path where it is there already; else compute and keep it.

    Raises
    ------
    UsageError
        If the result cannot be kept at `home`.
    """
    if not run.force and (found := load_result(home, path)) is not None:
        return found
    require_computing(run, path)
    require_place(home)
    result = compute()
    save_result(home, path, result)
    return result


def require_computing(run: Run, path: str) -> None:
    """Make sure that a result which is not there may be computed.

    Raises
    ------
    NotKeptError
        If it may not.
    """
    if run.kept_only:
        raise NotKeptError(f"{path} is not kept; compute it first")
