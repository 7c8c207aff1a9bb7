"""Which stores are runs of one kind, and which of them share their first weights."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from latentscan.scan.snapshot import Snapshot

ALL = "runs"  # the kind of all stores, where nothing tells them apart
UNKNOWN = "unknown"  # the kind of stores without a record among others that have one
NO_SEED = -1


def training_of(snapshot: Snapshot) -> Mapping[str, Any]:
    """Return what a store records of the training of its encoder; nothing where it does not."""
    encoder = snapshot.store.attributes.get("encoder")
    found = encoder.get("training") if isinstance(encoder, dict) else None
    return found if isinstance(found, dict) else {}


def kinds_of(names: Sequence[str], trainings: Sequence[Mapping[str, Any]], asked: Sequence[str]) -> list[str]:
    """Return the kind of each store.

    Parameters
    ----------
    names
        The stores.
    trainings
        What is recorded of each.
    asked
        Kinds and patterns of names, as ``KIND=PATTERN``; if empty, the records tell kinds apart.

    Raises
    ------
    ParameterError
        If a store is of two kinds or of none, or a pattern fits no store.

    Examples
    --------
    >>> kinds_of(["a0", "a1", "v0"], [{}, {}, {}], ["ae=a*", "vae=v*"])
    ['ae', 'ae', 'vae']
    >>> kinds_of(["a", "b"], [{"kind": "ae"}, {"kind": "vae", "fact": 1e-5}], [])
    ['ae', 'vae 1e-05']
    """
    if asked:
        return _by_patterns(names, asked)
    known = [_kind(training) for training in trainings]
    return [kind or UNKNOWN for kind in known] if any(known) else [ALL] * len(names)


def seeds_of(trainings: Sequence[Mapping[str, Any]]) -> NDArray[np.int64]:
    """Return the seeds of the first weights, (store,); `NO_SEED` where none is recorded."""
    return np.array([training.get("seed", NO_SEED) for training in trainings], np.int64)


def share_first_weights(seeds: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which stores have the same seed as another, (store, store)."""
    known = seeds != NO_SEED
    same = (seeds[:, np.newaxis] == seeds) & known & known[:, np.newaxis]
    return np.asarray(same & ~np.eye(len(seeds), dtype=bool))


def _kind(training: Mapping[str, Any]) -> str:
    fact = f" {training['fact']:g}" if "fact" in training else ""
    return f"{training.get('kind', '')}{fact}{' batch norm' if training.get('batch_norm') else ''}"


def _by_patterns(names: Sequence[str], asked: Sequence[str]) -> list[str]:
    parts = [one.partition("=") for one in asked]
    patterns = [(kind.strip(), pattern.strip()) for kind, _, pattern in parts]
    fits = [[kind for kind, pattern in patterns if fnmatchcase(name, pattern)] for name in names]
    for one, (_, pattern) in zip(asked, patterns, strict=True):
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ParameterError(
                f"fits none of the stores {', '.join(names)}; * stands for any letters",
                field="kind",
                value=one,
            )
    for name, kinds in zip(names, fits, strict=True):
        if not kinds:
            raise ParameterError(
                f"{name} is of none of these kinds; give a pattern that fits it, or leave the store out",
                field="kind",
                value=",".join(asked),
            )
        if len(set(kinds)) > 1:
            raise ParameterError(
                f"{name} is of several kinds, {' and '.join(dict.fromkeys(kinds))}; expected one",
                field="kind",
                value=",".join(asked),
            )
    return [kinds[0] for kinds in fits]
