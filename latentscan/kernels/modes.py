"""Whether the values along an axis fall into several groups, with few of them between."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from latentscan.kernels.adaptive import AdaptiveHistogram

    Floats = NDArray[np.float64]

SIGMAS = 5.0  # by which a valley is deeper than chance; of thousands of single peaks the deepest reaches 4
DEPTH = 0.5  # a valley holds at most that share of the lower of its two peaks
WIDTHS = (1, 2, 4)  # of bins, times that of the rule: a small group shows in wide ones


class Valley(NamedTuple):
    """The deepest valley of every column between two groups of values.

    Parameters
    ----------
    score
        By how many standard deviations of the counts it is lower than both peaks beside it, (columns,).
    position
        Where it is, (columns,); NaN where there is none.
    share
        Share of the values in the smaller of the two groups, (columns,); 0 where there is none.
    """

    score: Floats
    position: Floats
    share: Floats


def deepest_valleys(histogram: AdaptiveHistogram) -> Valley:
    """Find the deepest valley of every column.

    Bins are joined to about the width of Freedman, D., Diaconis, P. (1981), On the histogram as a density
    estimator: L2 theory, to twice and to four times that. A valley is a bin with at most `DEPTH` times as
    many values as the highest bin on either side; its score is the difference from the lower one, in
    standard deviations of Poisson counts. Where values have one peak, whatever its shape, a valley is
    chance: the score stays below `SIGMAS`.

    Parameters
    ----------
    histogram
        Of every column.

    Examples
    --------
    >>> from latentscan.kernels.adaptive import adaptive_histogram
    >>> one = np.random.default_rng(0).standard_normal((2000, 1))
    >>> two = one + np.where(np.arange(2000) % 4, 0, 8)[:, None]
    >>> found = deepest_valleys(adaptive_histogram(np.hstack([one, two])))
    >>> found.score > SIGMAS, found.share.round(2)
    (array([False,  True]), array([0.01, 0.25]))
    """
    columns, edges = len(histogram.counts), histogram.edges
    found = Valley(np.zeros(columns), np.full(columns, np.nan), np.zeros(columns))
    for column in range(columns):
        counts = histogram.counts[column].astype(np.float64)
        narrow = _together(counts)
        for together in (narrow * times for times in WIDTHS):
            score, at = _valley(counts.reshape(-1, together).sum(axis=1) if together > 1 else counts)
            if score <= found.score[column]:
                continue
            middle = int((at + 0.5) * together)
            below = counts[:middle].sum() / counts.sum()
            found.score[column] = score
            found.position[column] = edges[column, middle]
            found.share[column] = min(below, 1 - below)
    return found


def _together(counts: Floats) -> int:
    """Return how many bins are one of the rule's, a power of two."""
    cumulated = np.cumsum(counts) / max(counts.sum(), 1)
    low, high = np.searchsorted(cumulated, [0.25, 0.75])
    width = 2 * (high - low) * max(counts.sum(), 1) ** (-1 / 3)
    return int(np.clip(2 ** np.ceil(np.log2(max(width, 1))), 1, len(counts) // (2 * max(WIDTHS))))


def _valley(counts: Floats) -> tuple[float, int]:
    """Return the score of the deepest valley, and its bin; of an empty stretch the middle."""
    before = np.concatenate([[0.0], np.maximum.accumulate(counts)[:-1]])
    after = np.concatenate([np.maximum.accumulate(counts[::-1])[::-1][1:], [0.0]])
    peak = np.minimum(before, after)
    deep = (peak > 0) & (counts <= DEPTH * peak)
    scores = np.where(deep, (peak - counts) / np.sqrt(np.maximum(peak + counts, 1)), 0.0)
    best = np.flatnonzero(scores == scores.max())
    return float(scores.max()), int(best[len(best) // 2])
