"""The trainings of a job: what is asked for, and what is missing of it, trained where the job is driven."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from latentscan.encoding.parameters import Location
from latentscan.encoding.sources import open_source
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.parameters import TrainParameters
from latentscan.models.run_folder import RunFolder
from latentscan.progress import labelled

if TYPE_CHECKING:
    from latentscan.images.source import ImageSource
    from latentscan.models.training import Training
    from latentscan.progress import Progress


class Train(TrainParameters, Preprocessing):
    """An entry of the part `train` of a job: images, the run folder to fill, and how it is trained."""

    images: Location = Field(min_length=1, description="where the images are")
    out: Location = Field(min_length=1, description="the run folder")
    root: Location | None = Field(default=None, description="the folder that a list's paths are relative to")

    @property
    def parameters(self) -> TrainParameters:
        """What decides the training, besides images and preprocessing."""
        return TrainParameters(**self.model_dump(include=set(TrainParameters.model_fields)))

    @property
    def preprocessing(self) -> Preprocessing:
        """How images are prepared."""
        given = self.model_dump(include=set(Preprocessing.model_fields) & self.model_fields_set)
        return Preprocessing(**given)

    @property
    def is_done(self) -> bool:
        """Whether all epochs are finished."""
        return RunFolder(Path(self.out)).is_done(self.epochs)


def train_missing(asked: Train, progress: Progress) -> Training | None:
    """Train what is missing of a run, in this process; None where nothing is.

    Raises
    ------
    UsageError
        If there are no images, or the folder holds another training or something else.
    LatentscanError
        If a loss is not finite.
    """
    from latentscan.models.training import train_rest

    run = Path(asked.out)
    return train_rest(
        _source(asked, run, progress),
        run,
        asked.parameters,
        asked.preprocessing,
        progress=labelled(progress, run.name),
    )


def _source(asked: Train, run: Path, progress: Progress) -> ImageSource:
    record = RunFolder(run).record
    recorded = RunFolder(run).read_record().source if record.exists() else None
    return open_source(
        asked.images, asked.preprocessing, root=asked.root, recorded=recorded, progress=progress
    )
