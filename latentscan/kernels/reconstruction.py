"""The reconstruction loss of images, and the floor below which no output can bring it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CLIPPED = 1e-7  # outputs are at least that far from 0 and 1, as Keras takes them


def image_losses(target: Floats, output: NDArray[np.floating], kind: str) -> Floats:
    """Return the loss of each image in nats (``bce``) or squares (``mse``), (n,).

    It is summed over the pixels and averaged over channels, as `train` minimizes it.

    Parameters
    ----------
    target, output
        In 0..1, (n, height, width, channels).
    kind
        ``bce``, binary cross-entropy, or ``mse``, squared error.

    Examples
    --------
    >>> image_losses(np.full((1, 2, 2, 3), 0.5), np.full((1, 2, 2, 3), 0.5), "bce") / np.log(2)
    array([4.])
    """
    if kind == "mse":
        return _over_pixels((target - output) ** 2)
    made = np.clip(output.astype(np.float64), CLIPPED, 1 - CLIPPED)
    return -_over_pixels(target * np.log(made) + (1 - target) * np.log(1 - made))


def floors(target: Floats, kind: str) -> Floats:
    """Return the loss of each image if the output were the image itself, (n,).

    Binary cross-entropy is the entropy of the pixels there, and not 0: grey is no certain black or white.

    Examples
    --------
    >>> floors(np.array([0.0, 0.5, 1.0]).reshape(1, 3, 1, 1), "bce") / np.log(2)
    array([1.])
    """
    if kind == "mse":
        return np.zeros(len(target))
    return _over_pixels(_entropy(target))


def mean_image_loss(mean: Floats, squares: Floats, kind: str) -> float:
    """Return the loss, averaged over images, of an output that is their mean image.

    Parameters
    ----------
    mean, squares
        The means of the pixels, and of their squares, (height, width, channels).
    kind
        ``bce`` or ``mse``.
    """
    each = np.maximum(squares - mean**2, 0.0) if kind == "mse" else _entropy(mean)
    return float(_over_pixels(each[None])[0])


def _entropy(x: Floats) -> Floats:
    """Return the entropy of coins that show 1 with probability x, in nats."""
    tiny = np.finfo(np.float64).tiny
    return -x * np.log(np.maximum(x, tiny)) - (1 - x) * np.log(np.maximum(1 - x, tiny))


def _over_pixels(values: Floats) -> Floats:
    summed: Floats = values.mean(axis=-1).sum(axis=(1, 2))
    return summed
