"""How much two groupings of the same rows say of each other, from the counts of their pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class Shared(NamedTuple):
    """How much of a class follows from the cluster.

    Parameters
    ----------
    value
        Mutual information as a share of the entropy of the class, less what chance gives.
    error
        Its standard error.
    chance
        The mean share of classes that were permuted among the rows.
    p
        How often permuted classes share as much.
    """

    value: float
    error: float
    chance: float
    p: float


def counts_of(
    labels: NDArray[np.integer], classes: NDArray[np.integer], shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Count the rows of each cluster and class, `shape`; rows of a class below 0 are left out.

    Examples
    --------
    >>> counts_of(np.array([0, 1, 1, 1]), np.array([0, 1, 1, -1]), (2, 2))
    array([[1, 0],
           [0, 2]])
    """
    held = classes >= 0
    joint = labels[held].astype(np.int64) * shape[1] + classes[held]
    return np.bincount(joint, minlength=shape[0] * shape[1]).reshape(shape)


def entropy_share(counts: NDArray[np.integer]) -> Floats:
    """Return which share of the entropy of the classes the clusters explain, (...,).

    Parameters
    ----------
    counts
        Rows of each cluster and class, (..., cluster, class), of at least two classes with rows.

    Examples
    --------
    >>> entropy_share(np.array([[[5, 0], [0, 5]], [[5, 5], [5, 5]]]))
    array([1., 0.])
    """
    shares = counts / counts.sum(axis=(-2, -1), keepdims=True)
    both, cluster, own = (
        _entropy(part) for part in (shares.reshape(*shares.shape[:-2], -1), shares.sum(-1), shares.sum(-2))
    )
    return np.asarray(np.maximum(cluster + own - both, 0) / own)


def _entropy(shares: Floats) -> Floats:
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.asarray(-(shares * logs).sum(axis=-1))


def shared_information(counts: NDArray[np.integer], permutations: int, seed: int) -> Shared:
    """Measure how much of a class follows from the cluster, beside permuted classes.

    To permute classes among the rows leaves the sizes of clusters and classes as they are: the counts are
    then of the multivariate hypergeometric distribution, from which they are drawn, without the rows. The
    standard error is that of the plug-in estimate of a multinomial sample by the delta method, and, where
    clusters and classes are independent, of the permutations.

    Parameters
    ----------
    counts
        Rows of each cluster and class, (cluster, 2), of both classes some.
    permutations
        How often classes are permuted.
    seed
        Of the permutations.

    Examples
    --------
    >>> found = shared_information(np.array([[50, 0], [0, 50]]), 100, seed=0)
    >>> round(found.value, 2), round(found.p, 3)
    (0.99, 0.01)
    """
    value = float(entropy_share(counts))
    rng = np.random.default_rng(seed)
    sizes = counts.sum(axis=1)
    drawn = rng.multivariate_hypergeometric(sizes, int(counts[:, 1].sum()), size=permutations)
    permuted = entropy_share(np.stack([sizes - drawn, drawn], axis=-1))
    chance = float(permuted.mean())
    as_much = int(np.count_nonzero(permuted >= value * (1 - 1e-12)))
    error = float(np.hypot(_information_error(counts), permuted.std()))
    return Shared(value - chance, error, chance, (1 + as_much) / (1 + permutations))


def _information_error(counts: NDArray[np.integer]) -> float:
    total = int(counts.sum())
    joint = counts / total
    cluster, own = joint.sum(axis=1, keepdims=True), joint.sum(axis=0, keepdims=True)
    held = joint > 0
    pointwise = np.log(joint, out=np.zeros_like(joint), where=held)
    pointwise -= np.where(held, np.log(np.where(held, cluster * own, 1)), 0)
    surprise = -np.log(own) * np.ones_like(joint)
    information, entropy = float((joint * pointwise).sum()), float((joint * surprise).sum())
    influence = (pointwise - information) / entropy - information / entropy**2 * (surprise - entropy)
    return float(np.sqrt((joint * influence**2).sum() / total))


def phi(counts: NDArray[np.integer]) -> tuple[Floats, Floats]:
    """Return how nearly each cluster is the second class: the phi coefficient, and its standard error.

    It is the correlation of being in the cluster with being of the class: 1 where both are the same rows, 0
    where they are independent. Its standard error is by the delta method.

    Parameters
    ----------
    counts
        Rows of each cluster and class, (cluster, 2).

    Returns
    -------
    Both (cluster,); NaN for a cluster without rows, or with all.

    Examples
    --------
    >>> value, error = phi(np.array([[0, 30], [60, 0], [5, 5]]))
    >>> value.round(2)
    array([ 0.89, -0.9 ,  0.1 ])
    """
    total = counts.sum()
    size, own = counts.sum(axis=1) / total, counts[:, 1].sum() / total
    scale = np.sqrt(size * (1 - size) * own * (1 - own))
    joint = counts[:, 1] / total - size * own
    value = np.divide(joint, scale, out=np.full(len(size), np.nan), where=scale > 0)
    variance = np.zeros(len(size))
    with np.errstate(divide="ignore", invalid="ignore"):
        for of_class, share in ((0, 1 - own), (1, own)):
            v = (of_class - own) / np.sqrt(own * (1 - own))
            inside = counts[:, of_class] / total
            for is_in, weight in ((1, inside), (0, np.maximum(share - inside, 0))):
                u = (is_in - size) / np.sqrt(size * (1 - size))
                variance += weight * (u * v - value * (u**2 + v**2) / 2) ** 2
    return value, np.sqrt(variance / total)


def holm(p: Floats) -> Floats:
    """Adjust p-values (n,) so that the smallest of all may be looked at; NaN stays.

    Holm, S. (1979), A simple sequentially rejective multiple test procedure.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03, np.nan]))
    array([0.03, 0.06, 0.06,  nan])
    """
    adjusted = np.full(len(p), np.nan)
    held = np.flatnonzero(~np.isnan(p))
    order = held[np.argsort(p[held], kind="stable")]
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1)
    return adjusted
