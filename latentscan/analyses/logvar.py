"""Whether logvar has converged: whether it is what the curvature of the decoder's loss asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from latentscan.analyses.analysis import Analysis, Parameters, Request
from latentscan.analyses.collapse import COLLAPSE, CollapseParameters
from latentscan.analyses.functions import call
from latentscan.analyses.inputs import StoreAndDecoder
from latentscan.errors import ParameterError, UsageError, parameter
from latentscan.kernels.collapse import ClippedNoise
from latentscan.kernels.curvature import agreement, curvature, settled_logvar
from latentscan.scan.cost import Cost, gathering, in_turn, one_pass
from latentscan.scan.rows import gather_rows, sample_images
from latentscan.store.results import Result, Variable

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Unpack

    from numpy.typing import NDArray
    from xarray import Dataset

    from latentscan.analyses.analysis import Setting, Task
    from latentscan.analyses.functions import Options
    from latentscan.kernels.curvature import Agreement, Figure, Loss
    from latentscan.models.decoder import Decoder
    from latentscan.models.parameters import TrainParameters
    from latentscan.progress import Progress
    from latentscan.store.reader import LatentStore
    from latentscan.store.schema import Schema

    Floats = NDArray[np.float64]
    LogvarTask = Task["LogvarParameters", StoreAndDecoder]
    Reconstruction = Literal["auto", "bce", "mse"]

STEP = 0.02  # of a component's spread, to either side
FEWEST = 8  # images: fewer have no interval worth the name
CHECKED = 8  # images whose curvature is measured with twice the step too
ALIKE = 0.9  # correlation from which on logvar follows the curvature
SLOPES = (2 / 3, 1.5)  # of logvar over the expected one
NEAR = 0.5  # nat, of the mean difference
FLAT = 0.1  # nat: expected logvars that vary less say nothing


class LogvarParameters(Parameters):
    """At which images logvar is compared, and with which loss the model was trained."""

    sample: int = Field(
        default=60, ge=FEWEST, le=100_000, description="images at which the decoder is looked at"
    )
    components: int = Field(
        default=256, ge=1, le=1_000_000, description="components, those of the largest KL first, at most"
    )
    fact: float | None = Field(
        default=None,
        gt=0,
        le=1e12,
        description="factor on the KL loss, beside a reconstruction loss that is summed over pixels and "
        "averaged over channels; that of the run if left out",
    )
    reconstruction: Literal["auto", "bce", "mse"] = Field(
        default="auto", description="reconstruction loss: bce or mse of pixels in 0..1; auto: that of the run"
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="of the sample of images")


def can_be_compared(schema: Schema) -> bool:
    """Return whether a store has what a VAE writes."""
    return {"mu", "logvar"} <= set(schema.latents)


def compare_logvar(task: LogvarTask) -> Result:
    """Measure the curvature of the decoder's loss at some images, and compare their logvar with it.

    Raises
    ------
    UsageError
        If the store has no logvar, or the loss of the training is not known.
    """
    from latentscan.models.decoder import load_decoder

    parameters, snapshot, execution = task.parameters, task.inputs.snapshot, task.execution
    _require_logvar(snapshot.store)
    trained = _training(task.inputs.model)
    fact, loss = _loss_of(parameters, trained)
    noise = _noise(trained, snapshot.facts.attributes)
    decoder = load_decoder(task.inputs.decodes)
    found = task.result_of(_collapse())
    components = np.sort(np.argsort(-found["kl"], kind="stable")[: parameters.components])
    spread = np.sqrt(found["variance"] + found["noise_variance"])[components]
    images = np.sort(sample_images(snapshot, parameters.sample, parameters.seed, execution).images)
    if len(images) < FEWEST:
        raise UsageError(f"{snapshot.location} has {len(images)} good images; expected {FEWEST} or more")
    mu, logvar = (gather_rows(snapshot, name, images, execution) for name in ("mu", "logvar"))
    steps = STEP * np.where(spread > 0, spread, 1)
    bends = _curvatures(decoder, mu, components, steps, loss, execution.progress)
    wider = _curvatures(decoder, mu[:CHECKED], components, 2 * steps, loss, execution.progress)
    stored = logvar[:, components].astype(np.float64)
    expected = settled_logvar(bends, fact, noise)
    change = np.abs(settled_logvar(wider, fact, noise) - expected[: len(wider)])
    how = agreement(expected, stored)
    variables = {
        "image": Variable(("image",), images),
        "component": Variable(("component",), components),
        "stored": Variable(("image", "component"), stored),
        "expected": Variable(("image", "component"), expected),
        "curvature": Variable(("image", "component"), bends),
        "stored_median": Variable(("component",), np.median(stored, axis=0)),
        "expected_median": Variable(("component",), np.median(expected, axis=0)),
    }
    attributes: dict[str, Any] = {
        "fact": fact,
        "reconstruction": loss,
        "noise": noise,
        "components": snapshot.schema.components,
        "decoder": decoder.name,
        "step_change": float(change.mean()),
        "verdict": verdict_of(how, float(expected.std())),
        **{
            name: [_finite(part) for part in (figure.value, figure.lower, figure.upper)]
            for name, figure in vars(how).items()
        },
    }
    return Result(variables, attributes)


def _collapse() -> Request:
    return Request(COLLAPSE, CollapseParameters())


def _requires(_parameters: LogvarParameters) -> list[Request]:
    return [_collapse()]


def logvar_cost(setting: Setting, parameters: LogvarParameters) -> Cost:
    """Return the cost of reading the rows of the sample; what is decoded is not counted."""
    schema, rows = setting.schema, parameters.sample
    return in_turn([one_pass(schema, ()), *(gathering(schema, rows, name) for name in ("mu", "logvar"))])


VARIABLES = {  # what each variable is, and its unit
    "image": ("row of an image", "1"),
    "component": ("component", "1"),
    "stored": ("logvar of the store", "1"),
    "expected": ("logvar at which the loss would be lowest, by the curvature", "1"),
    "curvature": ("Gauss-Newton curvature of the reconstruction loss along the component", "1"),
    "stored_median": ("median over the images of the logvar of the store", "1"),
    "expected_median": ("median over the images of the expected logvar", "1"),
}

LOGVAR = Analysis(
    name="logvar",
    version=2,
    parameters=LogvarParameters,
    inputs=StoreAndDecoder,
    requires=_requires,
    compute=compare_logvar,
    cost=logvar_cost,
    labels=VARIABLES,
    rows=("image",),
    suits=can_be_compared,
)


def logvar(
    store: LatentStore,
    model: str | Path,
    decoder: str | Path | None = None,
    *,
    sample: int = 60,
    components: int = 256,
    fact: float | None = None,
    reconstruction: Reconstruction = "auto",
    seed: int = 0,
    **options: Unpack[Options],
) -> Dataset:
    """Check whether logvar has converged: compare it with the curvature of the decoder's loss.

    A VAE's loss is lowest where exp(logvar) is fact / (G + fact), with the curvature G of the reconstruction
    loss along a component: where logvar has converged, it says how sensitive the image is to the component.

    Parameters
    ----------
    store
        The latent store.
    model
        The run folder that wrote it, or its encoder with the decoder beside it, or its decoder alone.
    decoder
        The decoder, where the model is an encoder.
    sample
        Images at which the decoder is looked at.
    components
        Components that are looked at, those of the largest KL first, at most.
    fact
        The factor on the KL loss, beside a reconstruction loss that is summed over the pixels and averaged
        over the channels; that of the run if None.
    reconstruction
        The reconstruction loss, ``"bce"`` or ``"mse"`` of pixels in 0..1; that of the run if ``"auto"``.
    seed
        Of the sample of images.
    **options
        See `Options`.

    Returns
    -------
    Of each `image` and `component` of the sample: `stored` and `expected` logvar, and the `curvature` (image,
    component); their medians over the images, `stored_median` and `expected_median` (component). Attributes:
    `correlation`, `within` (components apart from their means), `slope` and `offset`, each with the ends of
    its 95 % interval, by the jackknife over the images; `step_change`, by how much the expected logvar
    changes when the step of the derivatives is doubled; `verdict`: converged, not converged, or undecided.

    Raises
    ------
    UsageError
        If the store has no logvar, the model did not write it, or the loss of the training is not known.
    StoreError
        If the store is incomplete or damaged, or all its images were rejected.
    ParameterError
        If a parameter does not fit.
    """
    given = {
        "sample": sample,
        "components": components,
        "fact": fact,
        "reconstruction": reconstruction,
        "seed": seed,
    }
    named = {"store": store, "model": model, "decoder": decoder}
    return call(LOGVAR, named, given, options)


def verdict_of(how: Agreement, spread: float) -> str:
    """Return ``"converged"``, ``"not converged"`` or ``"undecided"``, as far as the intervals allow.

    Parameters
    ----------
    how
        How far logvars are the expected ones.
    spread
        Standard deviation of the expected ones.
    """
    low, high = SLOPES
    distance = _distances(how.offset)
    if spread < FLAT:
        return "not converged" if distance[0] > NEAR else "undecided"
    if how.correlation.upper < ALIKE or distance[0] > NEAR or how.slope.upper < low or how.slope.lower > high:
        return "not converged"
    if (
        how.correlation.lower > ALIKE
        and distance[1] < NEAR
        and low < how.slope.lower <= how.slope.upper < high
    ):
        return "converged"
    return "undecided"


def _distances(figure: Figure) -> tuple[float, float]:
    """Return the least and the largest distance from 0 within an interval."""
    ends = abs(figure.lower), abs(figure.upper)
    crosses = figure.lower < 0 < figure.upper
    return 0.0 if crosses else min(ends), max(ends)


def _curvatures(
    decoder: Decoder,
    mu: NDArray[np.float32],
    components: NDArray[np.int64],
    steps: Floats,
    loss: Loss,
    progress: Progress,
) -> Floats:
    """Return the curvature at points (image, component) along some components, (image, those)."""
    images, count = len(mu), len(components)
    bends = np.empty(images * count)
    pairs = max(1, decoder.batch_size // 2)
    with progress.task("decode", 2 * len(bends), "images") as advance:
        for start in range(0, len(bends), pairs):
            entries = np.arange(start, min(start + pairs, len(bends)))
            image, along = entries // count, entries % count
            points = np.repeat(mu[image][None], 2, axis=0)
            rows, step = np.arange(len(entries)), steps[along].astype(np.float32)
            points[0, rows, components[along]] += step
            points[1, rows, components[along]] -= step
            # the steps that float32 has taken
            taken = points[0, rows, components[along]].astype(np.float64) - points[1, rows, components[along]]
            ahead, behind = np.split(decoder.decode_values(points.reshape(-1, mu.shape[1])), 2)
            bends[entries] = curvature(ahead, behind, taken / 2, loss)
            advance(2 * len(entries))
    return bends.reshape(images, count)


def _require_logvar(store: LatentStore) -> None:
    if not can_be_compared(store.schema):
        held = " and ".join(store.schema.latents)
        raise UsageError(f"{store.location} holds {held} only; expected mu and logvar, as a VAE has them")


def _training(model: Path) -> TrainParameters | None:
    """Return what a run was trained with; None of other models."""
    from latentscan.models.run_folder import RunFolder

    folder = RunFolder(model)
    return folder.read_record().parameters if folder.record.exists() else None


def _loss_of(parameters: LogvarParameters, trained: TrainParameters | None) -> tuple[float, Loss]:
    fact = parameters.fact
    if fact is None:
        if trained is None:
            raise UsageError(
                f"the model does not say with which factor on the KL loss it was trained; give "
                f"{parameter('fact')}: of a reconstruction loss that is summed over the channels too, divide "
                "the factor by their number"
            )
        fact = trained.fact
    if fact <= 0:
        raise ParameterError(
            "expected above 0: without KL loss, logvar has nowhere to settle", field="fact", value=fact
        )
    if parameters.reconstruction != "auto":
        return fact, parameters.reconstruction
    return fact, "bce" if trained is None else trained.reconstruction


def _noise(trained: TrainParameters | None, attributes: Any) -> float:
    """Return the mean square of the noise of the training; of other models than runs, that of the store."""
    if trained is None:
        return ClippedNoise.of(attributes).mean_square
    return ClippedNoise(trained.epsilon_limit, trained.epsilon_factor).mean_square


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
