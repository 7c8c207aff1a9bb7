"""The errors a user can meet, each with the exit code of the command that meets it."""

from __future__ import annotations

from typing import ClassVar

SOME_REJECTED = 3  # exit codes that are no error's own
INTERRUPTED = 130


class LatentscanError(Exception):
    """A failure whose message names the object, the value, what was expected, and what to do next."""

    exit_code: ClassVar[int] = 1


class UsageError(LatentscanError):
    """Parameters or input that do not fit what was asked for."""

    exit_code = 2


class TooFewImagesError(UsageError):
    """Fewer images than what was asked for needs."""


class StoreError(LatentscanError):
    """A store that is missing, incomplete or damaged."""

    exit_code = 4


class TaskError(LatentscanError):
    """A task that failed, whose error does not say itself what it is about."""


class ClusterError(LatentscanError):
    """A cluster that cannot be reached, or was lost; the same command goes on from there."""

    exit_code = 5


class UnsafeInputError(LatentscanError):
    """Input that could run code, refused unless the user vouches for it."""

    exit_code = 6
