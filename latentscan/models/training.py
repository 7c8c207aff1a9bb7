"""The training of an autoencoder, resumable after every epoch."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from latentscan.errors import LatentscanError, ParameterError, UsageError, parameter
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.autoencoder import build_autoencoder
from latentscan.models.backend import keras
from latentscan.models.batches import Batches
from latentscan.models.history import jumps_in_words
from latentscan.models.model_file import check_weights
from latentscan.models.networks import check_size, seed_sequence
from latentscan.models.parameters import require_memory
from latentscan.models.probe import measure_probe
from latentscan.models.resuming import first_record, resumed_record
from latentscan.models.run_folder import Epoch, Probe, RunFolder, history_bytes, replace_all
from latentscan.progress import SILENT, remark

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.images.source import ImageSource
    from latentscan.models.parameters import TrainParameters
    from latentscan.progress import Progress

# At most: of more training images, every second, third ... one. Measured: 30 % of the time of training on
# 1,024 images, 16 % on 3,072.
PROBE_IMAGES = 1024


@dataclass(frozen=True)
class Training:
    """What a training made; `reasons` is path -> reason of the rejected images met in this call."""

    run: Path
    history: tuple[Epoch, ...]
    images: int
    rejected: int
    reasons: Mapping[str, str]


def train(
    source: ImageSource,
    run: Path,
    parameters: TrainParameters,
    preprocessing: Preprocessing,
    *,
    resume: bool = False,
    resume_from: int | None = None,
    progress: Progress = SILENT,
) -> Training:
    """Train an autoencoder into a run folder, or go on with one.

    A resumed training repeats an uninterrupted one: the order of images and the epsilon of an epoch depend on
    (seed, epoch) alone, and a checkpoint holds the optimizer's state too.

    Parameters
    ----------
    source
        The images, prepared as `preprocessing` says.
    run
        The run folder.
    parameters
        What decides the training.
    preprocessing
        How the images are prepared; recorded for the encoder.
    resume
        Whether to go on after the last finished epoch.
    resume_from
        The epoch after which to go on; the results of later ones are set aside.
    progress
        Hears of images, with the losses so far.

    Raises
    ------
    UsageError
        If the images do not fit the network, none can be used, the folder holds a run already, or what is
        resumed contradicts its run.json.
    LatentscanError
        If the loss or a weight is not finite; the checkpoints of earlier epochs remain.
    """
    side = _side(preprocessing)
    check_size(parameters, side)
    require_memory(parameters, side)
    rows = _training_rows(source, parameters)
    for line in source.notes:
        remark(progress, line)
    folder = RunFolder(run)
    if (resume or resume_from is not None) and not folder.begins_anew():
        record, history = resumed_record(folder, source, parameters, preprocessing, resume_from)
    else:
        record, history = first_record(folder, source, parameters, preprocessing), ()
    with Batches(source, rows, side, parameters.cache_bytes) as batches:
        probe = batches.probe(PROBE_IMAGES)
        model = build_autoencoder(parameters, side, preprocessing.value_range)
        if history:
            _load_checkpoint(model, folder, len(history), parameters.learning_rate)
        folder.remove_unfinished()
        folder.set_aside(len(history))
        if history and not (folder.encoder.exists() and folder.decoder.exists()):
            replace_all(_exports(model, folder))
        sample = Probe(step=probe.step, images=len(probe.pixels))
        record = record.model_copy(update={"probe": sample})
        folder.write_record(record)
        for epoch in range(len(history) + 1, parameters.epochs + 1):
            row = _run_epoch(model, batches, probe.pixels, parameters, epoch=epoch, progress=progress)
            _check_weights(model, epoch)
            history = (*history, row)
            record = record.model_copy(
                update={"images": len(batches) - len(batches.rejected), "rejected": len(batches.rejected)}
            )
            folder.write_record(record)
            _save(model, folder, history)
            for line in _jumps(history, parameters):
                remark(progress, line)
    return Training(run, history, record.images or 0, record.rejected or 0, batches.rejected)


def train_rest(
    source: ImageSource,
    run: Path,
    parameters: TrainParameters,
    preprocessing: Preprocessing,
    *,
    progress: Progress = SILENT,
) -> Training | None:
    """Train what is missing of a run: all of it, or the epochs behind the last finished one.

    Parameters and errors are those of `train`.

    Returns
    -------
    What came of it; None where nothing was missing.
    """
    folder = RunFolder(run)
    begun = folder.record.exists()
    if begun and folder.is_done(parameters.epochs):
        resumed_record(folder, source, parameters, preprocessing, None)  # refuses those of another training
        return None
    return train(source, run, parameters, preprocessing, resume=begun, progress=progress)


def _side(preprocessing: Preprocessing) -> int:
    """Return the side of the images of a training, which are square and RGB.

    Raises
    ------
    ParameterError
        If they are not.
    """
    if not isinstance(preprocessing.size, int):
        raise ParameterError(
            "training takes square images: expected one number", field="size", value=preprocessing.size
        )
    for name in ("channels", "mean", "std"):
        value = getattr(preprocessing, name)
        if value != Preprocessing.model_fields[name].default:
            raise ParameterError(
                "training takes RGB in a range of values; leave it out", field=name, value=value
            )
    return preprocessing.size


def _training_rows(source: ImageSource, parameters: TrainParameters) -> NDArray[np.intp]:
    rows = np.arange(len(source))
    if parameters.split == "train" and source.split is not None:
        rows = rows[source.split == 0]
        if not len(rows) and len(source):
            raise ParameterError(
                f"none of the {len(source)} images is in the training part of the source's split; "
                f"give {parameter('split', 'all')} to train on every image",
                field="split",
                value=parameters.split,
            )
    if not len(rows):
        raise UsageError("no images; expected at least one to train on")
    return rows


def _run_epoch(
    model: Any,
    batches: Batches,
    probe: NDArray[np.uint8],
    parameters: TrainParameters,
    *,
    epoch: int,
    progress: Progress,
) -> Epoch:
    began_s = time.perf_counter()
    model.reseed(parameters.seed, epoch)
    order = np.random.default_rng(seed_sequence(parameters.seed, epoch, 0)).permutation(len(batches))
    figures = _Figures()
    with progress.task(f"epoch {epoch}/{parameters.epochs}", len(batches), "images") as advance:
        for step, (count, pixels) in enumerate(batches.epoch(order, parameters.batch_size), 1):
            if len(pixels):
                of_step = model.train_on_batch(pixels, return_dict=True)
                if not math.isfinite(of_step["loss"]):
                    raise _diverged(
                        f"the loss became {of_step['loss']} at step {step} of epoch {epoch}", epoch
                    )
                figures.add(len(pixels), of_step)
            advance(count, **figures.shown())
    if not figures.images:
        raise UsageError(f"epoch {epoch}: none of the {len(batches)} images could be read any more")
    losses, of_probe = figures.losses(), measure_probe(model, probe)
    return Epoch(
        epoch=epoch,
        total_loss=losses["total_loss"],
        reco_loss=losses["reco_loss"],
        kl=losses.get("kl"),
        kl_scaled=losses.get("kl_scaled"),
        max_abs_epsilon=figures.maxima.get("max_abs_epsilon"),
        max_abs_epsilon_clipped=figures.maxima.get("max_abs_epsilon_clipped"),
        max_logvar=figures.maxima.get("max_logvar"),
        probe_reco=of_probe.reco,
        probe_kl=of_probe.kl,
        probe_radius_mean=float(of_probe.radii.mean()),
        probe_radius_max=float(of_probe.radii.max()),
        seconds=round(time.perf_counter() - began_s, 3),
    )


class _Figures:
    """The figures of an epoch so far: losses averaged over its images, maxima over its steps."""

    def __init__(self) -> None:
        self.images = 0
        self.maxima: dict[str, float] = {}
        self._sums: dict[str, float] = {}

    def add(self, images: int, of_step: Mapping[str, float]) -> None:
        self.images += images
        for name, value in of_step.items():
            if name.startswith("max_"):
                self.maxima[name] = max(value, self.maxima.get(name, value))
            else:
                label = "total_loss" if name == "loss" else name
                self._sums[label] = self._sums.get(label, 0.0) + images * value

    def shown(self) -> dict[str, float]:
        """Return what a progress bar has room for: the loss, KL in nats, and its scaled share of the loss."""
        names = {"total_loss": "loss", "kl": "kl", "kl_scaled": "scaled"}
        losses = self.losses()
        return {short: float(f"{losses[name]:.4g}") for name, short in names.items() if name in losses}

    def losses(self) -> dict[str, float]:
        return {name: total / self.images for name, total in self._sums.items()}


def _jumps(history: tuple[Epoch, ...], parameters: TrainParameters) -> list[str]:
    """Return a note on what jumped in the last epoch, and how to see what it was due to."""
    epoch = history[-1].epoch
    found = jumps_in_words(history, epoch)
    if not found:
        return []
    replay = f"{parameter('resume_from', epoch - 1)} {parameter('seed', parameters.seed + 1)}"
    limits = ""
    if parameters.kind == "vae":
        lower = " or ".join((parameter("epsilon_limit", 3), parameter("logvar_limit", 10)))
        limits = f"; then with {lower}, to see which of the two it was due to"
    return [
        f"epoch {epoch}: {' and '.join(found)}; to see whether it recurs, train a copy of this folder with "
        f"{replay}{limits}"
    ]


def _diverged(what: str, epoch: int) -> LatentscanError:
    good = (
        f"the last good checkpoint is epoch {epoch - 1}: go on from it with {parameter('resume', True)}"
        if epoch > 1
        else f"no epoch was finished: start again with {parameter('resume', True)}"
    )
    return LatentscanError(
        f"training stopped: {what}, expected finite numbers; {good} and a lower {parameter('learning_rate')}"
    )


def _check_weights(model: Any, epoch: int) -> None:
    """Keep weights and optimizer state that are not finite out of a checkpoint."""
    for variable in (*model.weights, *model.optimizer.variables):
        if not np.isfinite(keras.ops.convert_to_numpy(variable)).all():
            raise _diverged(f"the variable {variable.path} is not finite after epoch {epoch}", epoch)


def _save(model: Any, folder: RunFolder, history: tuple[Epoch, ...]) -> None:
    """Write everything that an epoch leaves; its row in the history comes last, and commits it."""
    replace_all(
        {
            **_exports(model, folder),
            folder.checkpoint(history[-1].epoch): model.save_weights,
            folder.history: lambda path: path.write_bytes(history_bytes(history)),
        }
    )


def _exports(model: Any, folder: RunFolder) -> dict[Path, Callable[[Path], object]]:
    return {folder.encoder: model.encoder.save, folder.decoder: model.decoder.save}


def _load_checkpoint(model: Any, folder: RunFolder, epoch: int, learning_rate: float) -> None:
    path = folder.checkpoint(epoch)
    try:
        check_weights(path)
        model.load_weights(path)
    except Exception as error:  # noqa: BLE001 (what a damaged file makes of it can be anything)
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UsageError(
            f"{path}: expected a checkpoint of this network: {reason}; go on from an earlier epoch with "
            f"{parameter('resume_from', epoch - 1)}"
        ) from None
    model.optimizer.learning_rate = learning_rate
