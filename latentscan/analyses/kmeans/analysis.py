"""k-means with many k and several seeds: inertia curves, centres, cluster sizes, and a hint of an elbow."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from latentscan.analyses.cache import Run, kept
from latentscan.analyses.kmeans.centres import CENTRES_VERSION, CentresParameters, kmeans_centres, spelled_out
from latentscan.analyses.kmeans.elbow import elbow
from latentscan.analyses.kmeans.reference import REFERENCE_VERSION, gaussian_reference
from latentscan.kernels.inertia import InertiaPartial, Models, inertia_partial
from latentscan.kernels.reduction import LatentBlock, Reduction
from latentscan.scan.reduce import reduce_store
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from latentscan.analyses.rows import Points
    from latentscan.store.reader import LatentStore

VERSION = 1  # to be raised when the numbers or their names change, so that older results are not read


class KMeansParameters(CentresParameters):
    """Which models are trained, and what is found of them."""

    labels: tuple[int, ...] = Field(default=(), description="those of --k whose labels are kept")
    reference: bool = Field(default=True, description="also the curve of Gaussian data, to judge an elbow by")

    @field_validator("labels", mode="before")
    @classmethod
    def _labels_spelled_out(cls, value: Any) -> Any:
        return spelled_out(value)

    @field_validator("labels")
    @classmethod
    def _of_models(cls, value: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        if missing := sorted(set(value) - set(info.data.get("k", value))):
            raise ValueError(f"expected numbers that are in --k, got {', '.join(map(str, missing))}")
        return tuple(sorted(set(value)))

    @property
    def training(self) -> CentresParameters:
        """The parameters that change the centres."""
        return CentresParameters(**self.model_dump(include=set(CentresParameters.model_fields)))


def kmeans(
    store: LatentStore,
    parameters: KMeansParameters | None = None,
    run: Run | None = None,
    digests: NDArray[np.uint8] | None = None,
) -> Result:
    """Cluster the points of a store with many k and several seeds: inertia curves, sizes, centres.

    Parameters
    ----------
    digests
        The commit record (block, array, 32) of the blocks to look at; read anew if None.

    Returns
    -------
    `inertia` (k, seed), its `inertia_mean` and `inertia_std` over the seeds (k), and the inertia of Gaussian
    data with the same covariance, `reference` (k); `total` (), the inertia of one cluster; `centres`
    (centre, component) of one model after another, with `size`, `centre_k` and `centre_seed` (centre);
    `knee` and `bend` (seed); `labels` (label_k, image) of the best model of a k, the one of `label_seed`
    (label_k), −1 for an image without latents.

    Raises
    ------
    UsageError
        If there are fewer images than centres, or fewer in a batch; or the result cannot be kept where it
        should be.
    StoreError
        If the store is incomplete or damaged.
    """
    parameters, run = parameters or KMeansParameters(), run or Run()
    return kept(
        *("kmeans", VERSION, store, parameters, run, partial(_computed, store, parameters, run)),
        digests=digests,
        builds_on=(CENTRES_VERSION, REFERENCE_VERSION),
    )


def _computed(
    store: LatentStore, parameters: KMeansParameters, run: Run, digests: NDArray[np.uint8]
) -> Result:
    trained = kmeans_centres(store, parameters.training, run, digests)
    reference = None
    if parameters.reference:
        reference = gaussian_reference(store, parameters.training, trained.attributes["images"], run, digests)
    return assess(store, trained, parameters, reference, digests, run)


def assess(
    store: LatentStore,
    trained: Result,
    parameters: KMeansParameters,
    reference: NDArray[np.float64] | None,
    digests: NDArray[np.uint8],
    run: Run,
) -> Result:
    """Compute what is found of trained models in one pass over the blocks that are written.

    Parameters
    ----------
    trained
        What `kmeans_centres` gave.
    reference
        The inertia of Gaussian data, (k,).
    digests
        The commit record, (block, array, 32).
    """
    ks, seeds = np.array(parameters.k), np.array(parameters.all_seeds)
    of_model = np.repeat(ks, len(seeds))
    models = Models.of(trained["centres"], of_model.tolist(), trained["shift"])
    labelled = np.flatnonzero(np.isin(of_model, parameters.labels)).tolist()

    found = _counted(store, parameters.array, models, labelled, digests, run)
    inertia = found.inertia.reshape(len(ks), len(seeds))
    variables = {
        "k": Variable(("k",), ks),
        "seed": Variable(("seed",), seeds),
        "inertia": Variable(("k", "seed"), inertia),
        "inertia_mean": Variable(("k",), inertia.mean(axis=1)),
        "total": Variable((), np.array(found.total_inertia)),
        "size": Variable(("centre",), found.sizes),
        **{name: trained.variables[name] for name in ("centres", "centre_k", "centre_seed")},
    }
    if len(seeds) > 1:
        variables["inertia_std"] = Variable(("k",), inertia.std(axis=1, ddof=1))
    if reference is not None:
        variables["reference"] = Variable(("k",), reference)
    if labelled:
        variables |= _best_labels(found, inertia, parameters, store.schema.images)
    one = found.total_inertia or 1.0  # all points are one: every share is 0
    hint = elbow(ks, inertia / one, None if reference is None else reference / one)
    variables |= {"knee": Variable(("seed",), hint.knees), "bend": Variable(("seed",), hint.bends)}
    attributes = {
        "array": parameters.array,
        "images": store.schema.images,
        "clustered": found.rows,
        "components": store.schema.components,
        "batches": trained.attributes["batches"],
        "passes": trained.attributes["passes"],
        "elbow": hint.verdict,
        "knees_agree": hint.agree,
        "bends_more": hint.bends_more,
        "reference_bend": hint.reference_bend,
    }
    return Result(variables, attributes)


def _counted(
    store: LatentStore,
    array: Points,
    models: Models,
    labelled: Sequence[int],
    digests: NDArray[np.uint8],
    run: Run,
) -> InertiaPartial:
    def chunk(block: LatentBlock) -> InertiaPartial:
        return inertia_partial(block.latents[array], block.images, models, labelled)

    reduction: Reduction[InertiaPartial, InertiaPartial] = Reduction(
        (array,), chunk, InertiaPartial.merge, finalize=lambda found: found
    )
    return reduce_store(
        store, reduction, digests, label="inertia", executor=run.executor, progress=run.progress
    )


def _best_labels(
    found: InertiaPartial, inertia: NDArray[np.float64], parameters: KMeansParameters, images: int
) -> dict[str, Variable]:
    """Pick, for every k whose labels are wanted, those of the model with the lowest inertia."""
    best = inertia[np.isin(parameters.k, parameters.labels)].argmin(axis=1)
    columns = np.arange(len(best)) * inertia.shape[1] + best
    labels = np.full((len(best), images), -1, np.int32)
    labels[:, found.images] = found.labels[:, columns].T
    return {
        "label_k": Variable(("label_k",), np.array(parameters.labels)),
        "label_seed": Variable(("label_k",), np.array(parameters.all_seeds)[best]),
        "labels": Variable(("label_k", "image"), labels),
    }
