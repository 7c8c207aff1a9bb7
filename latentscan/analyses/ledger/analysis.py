"""The ledger of the losses: what of the reconstruction is floor, and what of the KL is information."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from latentscan.analyses.analysis import Analysis, Parameters, Request
from latentscan.analyses.functions import call
from latentscan.analyses.ledger.training import probe_rows
from latentscan.analyses.losses import Rows, measure_losses
from latentscan.analyses.origins import StoreAndOrigins
from latentscan.analyses.pca import PCA, PcaParameters
from latentscan.kernels.gaussian_kl import gaussian_kl
from latentscan.kernels.information import Anchors, RatePartial, information, rate_partial
from latentscan.kernels.reduction import Footprint, Reduction
from latentscan.scan.cost import Cost, gathering, in_turn, one_pass
from latentscan.scan.reduce import reduce_store
from latentscan.scan.rows import sample_images
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from typing import Unpack

    from xarray import Dataset

    from latentscan.analyses.analysis import Setting, Task
    from latentscan.analyses.functions import Options
    from latentscan.analyses.losses import Figures
    from latentscan.models.run_folder import Epoch, RunFolder
    from latentscan.store.reader import LatentStore

LossKind = Literal["auto", "bce", "mse"]
TERM = ("term",)


class LedgerParameters(Parameters):
    """Of how many images losses and information are measured."""

    images_measured: int = Field(
        default=1000, ge=2, le=1_000_000, description="images that are decoded, and compared with originals"
    )
    anchors: int = Field(
        default=200, ge=2, le=10_000, description="z-points of which the information is measured"
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="seed of the samples")
    loss: LossKind = Field(
        default="auto", description="the reconstruction loss: bce or mse; auto: that of the run, else bce"
    )


def settle(task: Task[LedgerParameters, StoreAndOrigins]) -> Result:
    """Compute all terms of the losses that what is given allows; the rest is named."""
    inputs = task.inputs
    missing: list[str] = []
    prior = _prior(task)
    sample = _sample(task)
    figures = {**_rate(task, sample, missing), **prior}
    folder = inputs.folder
    last = None if folder is None else _last(folder)
    kind = inputs.loss if task.parameters.loss == "auto" else task.parameters.loss
    figures |= _reconstruction(task, sample, kind, missing)
    if "reconstruction" in figures and folder is None and task.parameters.loss == "auto":
        missing.append(
            "which loss the model was trained with: binary cross-entropy is taken, loss can be mse"
        )
    if last is not None and folder is not None:
        figures |= _scaled(folder, figures)
        figures |= _logged(task, folder, last, kind, missing)
    elif inputs.model is None:
        missing.append("whether the training logged the same losses: name the run folder as model")
    names = list(figures)
    return Result(
        {
            "term": Variable(TERM, np.array(names)),
            "value": Variable(TERM, np.array([figures[name][0] for name in names])),
            "error": Variable(TERM, np.array([figures[name][1] for name in names])),
        },
        {
            "images": inputs.snapshot.schema.images,
            "components": inputs.snapshot.schema.components,
            "loss": kind,
            "missing": missing,
        },
    )


def _sample(task: Task[LedgerParameters, StoreAndOrigins]) -> Rows:
    """Return the images that are looked at, of which the first ones are the anchors."""
    parameters, snapshot = task.parameters, task.inputs.snapshot
    most = max(parameters.images_measured, parameters.anchors)
    images = sample_images(snapshot, most, parameters.seed, task.execution).images
    return Rows.of(snapshot, images, snapshot.schema.latents, task.execution)


def _rate(task: Task[LedgerParameters, StoreAndOrigins], sample: Rows, missing: list[str]) -> Figures:
    """Return the KL of the images, its parts, and how much of it is information."""
    snapshot, parameters = task.inputs.snapshot, task.parameters
    if "logvar" not in snapshot.schema.latents:
        missing.append("the KL loss: the store has no mu and logvar")
        return {}
    first = sample.first(parameters.anchors)
    anchors = Anchors.of(first.images, *(first.latents[name] for name in ("z", "mu", "logvar")))
    reduction: Reduction[RatePartial, RatePartial] = Reduction(
        arrays=("mu", "logvar"),
        chunk=partial(rate_partial, anchors=anchors),
        combine=RatePartial.merge,
        footprint=_footprint(parameters, snapshot.schema.components),
    )
    found = reduce_store(snapshot, reduction, task.execution, label="information")
    of_mu, of_variance = found.kl.mean.tolist()
    count = found.kl.count
    own = np.sqrt(found.kl.variance / count).tolist()
    total = of_mu + of_variance
    figures: Figures = {
        "kl": (total, float(np.hypot(*own))),
        "kl_of_mu": (of_mu, own[0]),
        "kl_of_variance": (of_variance, own[1]),
    }
    factor = snapshot.store.attributes.get("epsilon_factor", 1.0)
    if factor != 1:
        missing.append(f"the information: z was sampled with the factor {factor:g} on epsilon")
        return figures
    known = information(anchors, found)
    mean, error = float(known.mean()), float(known.std(ddof=1) / np.sqrt(len(known)))
    return {
        **figures,
        "information": (mean, error),
        "distance_from_prior": (total - mean, float(np.hypot(error, figures["kl"][1]))),
        "information_limit": (float(np.log(count)), 0.0),
    }


def _prior(task: Task[LedgerParameters, StoreAndOrigins]) -> Figures:
    found = task.result_of(_spectrum(task.parameters))
    kl = gaussian_kl(found["mean"], found["eigenvalue"], found["axes"], int(found.attributes["images"]))
    return {
        "gaussian_kl": (kl.total, np.nan),
        "gaussian_marginals": (kl.marginals, np.nan),
        "total_correlation": (kl.correlation, np.nan),
        "gaussian_floor": (kl.floor, np.nan),
    }


def _reconstruction(
    task: Task[LedgerParameters, StoreAndOrigins], sample: Rows, kind: str, missing: list[str]
) -> Figures:
    inputs = task.inputs
    if inputs.source is None:
        missing.append("the reconstruction loss and its floor: name the images")
        return {}
    decoder = None
    if inputs.model is None:
        missing.append("the reconstruction loss: name the model")
    elif "decoder" not in inputs.hashes:
        missing.append("the reconstruction loss: the run has no decoder.keras")
    else:
        from latentscan.models.decoder import load_decoder

        decoder = load_decoder(inputs.model)
    measured = sample.first(task.parameters.images_measured)
    return measure_losses(measured, inputs.source, decoder, kind, task.execution)


def _scaled(folder: RunFolder, figures: Figures) -> Figures:
    """Return what the KL adds to the loss."""
    parameters = folder.read_record().parameters
    if "kl" not in figures or parameters.kind != "vae":
        return {}
    value, error = figures["kl"]
    return {"kl_scaled": (parameters.fact * value, parameters.fact * error)}


def _logged(
    task: Task[LedgerParameters, StoreAndOrigins],
    folder: RunFolder,
    last: Epoch,
    kind: str,
    missing: list[str],
) -> Figures:
    """Return the losses of the training's probe as it logged them, and as they are from the store."""
    inputs = task.inputs
    rows = probe_rows(folder.read_record(), inputs.snapshot.store)
    if rows is None or last.probe_reco is None:
        missing.append("whether the training logged the same losses: its probe is not of these images")
        return {}
    figures: Figures = {"probe_reco_logged": (last.probe_reco, 0.0)}
    arrays = [name for name in ("mu", "logvar") if name in inputs.snapshot.schema.latents]
    probe = Rows.of(inputs.snapshot, rows, arrays or ["z"], task.execution)
    if inputs.source is not None and "decoder" in inputs.hashes and inputs.model is not None:
        from latentscan.models.decoder import load_decoder

        found = measure_losses(probe, inputs.source, load_decoder(inputs.model), kind, task.execution)
        figures["probe_reco"] = (found["reconstruction"][0], 0.0)
    if last.probe_kl is not None and arrays:
        mu, logvar = (probe.latents[name].astype(np.float64) for name in arrays)
        kl = (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis=1).mean() / 2
        figures |= {"probe_kl_logged": (last.probe_kl, 0.0), "probe_kl": (float(kl), 0.0)}
    return figures


def _last(folder: RunFolder) -> Epoch | None:
    rows = folder.finished()
    return rows[-1] if rows else None


def _spectrum(_parameters: LedgerParameters) -> Request:
    return Request(PCA, PcaParameters(array="z"))


def _requires(parameters: LedgerParameters) -> list[Request]:
    return [_spectrum(parameters)]


def _footprint(parameters: LedgerParameters, components: int) -> Footprint:
    anchors = parameters.anchors * components * 8
    return Footprint(copies=4.2, partial_bytes=16 * parameters.anchors, task_bytes=2 * anchors)


def _cost(setting: Setting, parameters: LedgerParameters) -> Cost:
    """Return what is computed beside the spectrum; images are read by the process that is asked."""
    schema = setting.schema
    most = max(parameters.images_measured, parameters.anchors)
    parts = [one_pass(schema, ()), *(gathering(schema, most, name) for name in schema.latents)]
    if "logvar" in schema.latents:
        footprint = _footprint(parameters, schema.components)
        parts.append(one_pass(schema, ("mu", "logvar"), footprint))
    return in_turn(parts)


LABELS = {
    "term": ("term of the losses", ""),
    "value": ("its value, averaged over images", "nats; a share; squares for mse"),
    "error": ("its standard error, NaN where none is known", "as the value"),
}

LEDGER = Analysis(
    name="ledger",
    version=1,
    parameters=LedgerParameters,
    inputs=StoreAndOrigins,
    requires=_requires,
    compute=settle,
    cost=_cost,
    labels=LABELS,
)


def ledger(
    store: LatentStore,
    model: str | None = None,
    images: str | None = None,
    root: str | None = None,
    *,
    images_measured: int = 1000,
    anchors: int = 200,
    seed: int = 0,
    loss: LossKind = "auto",
    **options: Unpack[Options],
) -> Dataset:
    """Split the losses: the reconstruction into floor and excess, the KL into information and distance.

    Parameters
    ----------
    store
        The latent store.
    model
        The run folder that wrote it, or its decoder; without it, nothing is decoded.
    images
        The images that it is of; without them, nothing is said of the reconstruction.
    root
        The folder that a list's paths are relative to.
    images_measured
        How many images are decoded, and compared with their originals.
    anchors
        How many z-points the information is measured of.
    seed
        Seed of both samples.
    loss
        The reconstruction loss: ``"bce"``, ``"mse"``, or ``"auto"``: that of the run, else bce.
    **options
        See `Options`.

    Returns
    -------
    `value` and its standard `error` of every `term` that what is given allows; the attribute `missing` names
    the rest. All are means over images, in nats (with mse, reconstructions in squares):

    - `reconstruction` of the decoded mu (z of an AE), `reconstruction_of_z`, the `floor` that the grey of the
      images sets whatever the model, the `excess` above it (`excess_of_z`), and `excess_share`: as a share of
      what an output of the mean image has, `mean_image_excess`;
    - `kl`, the part of mu² `kl_of_mu` and of the variance `kl_of_variance`, and what it adds to the loss,
      `kl_scaled`;
    - the KL as `information` about the image, at most `information_limit`, the logarithm of their number, and
      `distance_from_prior`, KL(q(z) || N(0, I)) (Hoffman and Johnson 2016);
    - `gaussian_kl` of the Gaussian of the cloud's z from N(0, I), which bounds that distance from below: its
      `gaussian_marginals` and their `total_correlation`, with `gaussian_floor`, what a sample of N(0, I) has;
    - `probe_reco` and `probe_kl` of the store, beside what the training logged of these images.

    Raises
    ------
    StoreError
        If the store is incomplete or damaged.
    UsageError
        If the model or the images are not those of the store.
    ParameterError
        If a parameter does not fit.
    """
    given = {"images_measured": images_measured, "anchors": anchors, "seed": seed, "loss": loss}
    named = {"store": store, "model": model, "images": images, "root": root}
    return call(LEDGER, named, given, options)
