"""What long work is handed besides its data: where its tasks run, and who follows their progress."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from latentscan.execution.threaded import IN_PROCESS
from latentscan.progress import SILENT

if TYPE_CHECKING:
    from latentscan.execution.executor import Executor
    from latentscan.progress import Progress


@dataclass(frozen=True)
class Execution:
    """Where tasks run, and who follows their progress.

    Parameters
    ----------
    executor
        Runs the tasks; the threads of this process by default.
    progress
        The subscriber to their progress; silent by default.

    Examples
    --------
    >>> Execution().executor
    ThreadedExecutor(limit=None)
    """

    executor: Executor = IN_PROCESS
    progress: Progress = SILENT
