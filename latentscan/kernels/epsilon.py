"""Standard normal noise that depends on the seed and the image alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DRAWS_PER_STEP = 4  # 64-bit words that one step of the Philox counter gives


def epsilon(seed: int, start: int, stop: int, components: int, limit: float = 5.0) -> NDArray[np.float32]:
    """Draw epsilon ~ N(0, 1) of consecutive images, (stop - start, components).

    The generator is Philox-4x64 (Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3) with
    the seed as its key; an image's number sets the counter, so an image draws the same noise whatever
    block or worker it is in. Two uniform words become two normal numbers by the transform of Box and
    Muller (1958), which always uses two, as a counter needs.

    Parameters
    ----------
    seed
        Of the store.
    start, stop
        The range of images.
    components
        Of a row.
    limit
        Values are clipped elementwise to ±limit.

    Examples
    --------
    >>> whole = epsilon(7, 0, 10, components=5)
    >>> bool((epsilon(7, 4, 6, components=5) == whole[4:6]).all())
    True
    """
    pairs = -(-components // 2)
    steps = -(-2 * pairs // _DRAWS_PER_STEP)
    generator = np.random.Philox(key=seed)
    generator.advance(start * steps)
    width = steps * _DRAWS_PER_STEP
    words = generator.random_raw((stop - start) * width).reshape(stop - start, width)[:, : 2 * pairs]
    uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53  # inside (0, 1)
    radius = np.sqrt(-2 * np.log(uniform[:, :pairs]))
    angle = 2 * np.pi * uniform[:, pairs:]
    normal = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return np.asarray(np.clip(normal[:, :components], -limit, limit), np.float32)


def z_points(
    mu: NDArray[np.float32], logvar: NDArray[np.float32], noise: NDArray[np.float32], factor: float = 1.0
) -> NDArray[np.float32]:
    """Compute z = mu + exp(logvar / 2) * noise * factor, (n, components).

    A logvar that is too large makes z infinite; the caller rejects such rows.

    Kingma, D. P., Welling, M. (2014), Auto-encoding variational Bayes, section 2.4.

    Parameters
    ----------
    mu, logvar
        The encoder's outputs, (n, components).
    noise
        Epsilon, (n, components).
    factor
        Scales the noise.

    Examples
    --------
    >>> one = np.ones((1, 1), np.float32)
    >>> z_points(one, 0 * one, 2 * one)
    array([[3.]], dtype=float32)
    """
    with np.errstate(over="ignore", invalid="ignore"):
        deviation = np.exp(logvar / 2, dtype=np.float32)
        return np.asarray(mu + deviation * noise * np.float32(factor), np.float32)
