"""What a training's history says: how its losses went, and where they jumped."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from latentscan.models.run_folder import Epoch

JUMP = 0.3  # of the logarithm of a loss, from one epoch to the next
SETTLED = 2  # epochs in which losses change as much while the network begins to learn


@dataclass(frozen=True)
class Curve:
    """A loss over the epochs, and where it jumped.

    Parameters
    ----------
    epochs
        Their numbers, (epoch,).
    values
        At the end of each where the probe was measured, else averaged over it, (epoch,).
    is_probe
        Whether they are of the probe.
    jumps
        Epochs at whose end it is another by a factor of more than 1.35, and that is another change than the
        epoch before by as much, with the factor; the first two are left out.
    """

    epochs: tuple[int, ...]
    values: tuple[float, ...]
    is_probe: bool
    jumps: tuple[tuple[int, float], ...]


def reconstruction(history: Sequence[Epoch]) -> Curve:
    """Return the reconstruction loss, an image."""
    return _curve(history, [row.probe_reco for row in history], [row.reco_loss for row in history])


def divergence(history: Sequence[Epoch]) -> Curve | None:
    """Return the KL divergence from N(0, 1) in nats an image; None of an autoencoder."""
    means = [row.kl for row in history]
    known = [value for value in means if value is not None]
    if not known or len(known) < len(means):
        return None
    return _curve(history, [row.probe_kl for row in history], known)


def jumps_in_words(history: Sequence[Epoch], epoch: int) -> list[str]:
    """Return what jumped in an epoch, in words, such as ``KL by a factor of 1.85``."""
    curves = {"the reconstruction loss": reconstruction(history), "KL": divergence(history)}
    return [
        f"{name} by a factor of {factor:g}"
        for name, curve in curves.items()
        if curve is not None
        for at, factor in curve.jumps
        if at == epoch
    ]


def _curve(history: Sequence[Epoch], probed: Sequence[float | None], means: Sequence[float]) -> Curve:
    """Return a curve of the figures of the probe, where every epoch has them.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> rows = [SimpleNamespace(epoch=number) for number in range(1, 6)]
    >>> _curve(rows, [None] * 5, [9.0, 4.0, 3.9, 6.0, 5.9]).jumps
    ((4, 1.54),)
    >>> _curve(rows, [None] * 5, [1.0, 2.0, 4.0, 8.0, 16.0]).jumps  # grows evenly
    ()
    """
    found = [value for value in probed if value is not None]
    is_probe = len(found) == len(history)
    values = found if is_probe else list(means)
    epochs = [row.epoch for row in history]
    levels = [math.log(value) if value > 0 else math.nan for value in values]
    changes = [after - before for before, after in pairwise(levels)]
    jumps = [
        (epoch, round(math.exp(change), 2))
        for epoch, before, change in zip(epochs[2:], changes, changes[1:], strict=False)
        if epoch > SETTLED and abs(change) > JUMP and abs(change - before) > JUMP
    ]
    return Curve(tuple(epochs), tuple(values), is_probe, tuple(jumps))
