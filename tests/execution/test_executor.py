from __future__ import annotations

import sys

import pytest

from latentscan.execution.executor import default_label, failure, ignore_progress, thread_pools


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ZeroDivisionError("by zero"), "block 3: ZeroDivisionError: by zero"),
        (FileNotFoundError(2, "No such file", "a.npy"), "block 3: a.npy: No such file"),
        (OSError("the disk is full"), "block 3: OSError: the disk is full"),
    ],
)
def test_a_failure_names_the_task_and_the_cause(error: Exception, message: str) -> None:
    assert str(failure(error, "block 3")) == message


def test_thread_pools_are_searched_for_again_only_when_modules_came() -> None:
    first = thread_pools(len(sys.modules))
    assert thread_pools(len(sys.modules)) is first
    assert thread_pools(len(sys.modules) + 1) is not first


def test_the_defaults_of_callbacks() -> None:
    ignore_progress(3, loss=0.5)
    assert default_label(3) == "task 3"
