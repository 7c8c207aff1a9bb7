"""The run folder: record, history, checkpoints and models of one training, each replaced atomically."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from latentscan.errors import UsageError, command, problems_of
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.parameters import TrainParameters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path


class Start(BaseModel):
    """One start or resume of a training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: str
    after_epoch: int
    seed: int
    learning_rate: float
    epochs: int


class RunRecord(BaseModel):
    """The content of run.json: everything needed to repeat a training.

    `images` and `rejected` are None until the first epoch has decoded every image.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    parameters: TrainParameters
    preprocessing: Preprocessing
    source: dict[str, Any]
    images: int | None = None
    rejected: int | None = None
    versions: dict[str, str]
    starts: tuple[Start, ...]


@dataclass(frozen=True)
class Epoch:
    """One row of history.csv: losses are averages over the epoch's images, extremes are over its steps.

    `max_abs_epsilon` is of the draws before they are clipped. The radii are of mu (AE: z) of a fixed probe
    batch at the end of the epoch. An autoencoder has no KL loss, epsilon and logvar.
    """

    epoch: int
    total_loss: float
    reco_loss: float
    kl_loss: float | None
    max_abs_epsilon: float | None
    max_logvar: float | None
    probe_radius_mean: float
    probe_radius_max: float
    seconds: float


@dataclass(frozen=True)
class RunFolder:
    """The paths of the files of a run, and how each is read and replaced."""

    path: Path

    @property
    def record(self) -> Path:
        """Return the path of run.json."""
        return self.path / "run.json"

    @property
    def history(self) -> Path:
        """Return the path of history.csv."""
        return self.path / "history.csv"

    @property
    def encoder(self) -> Path:
        """Return the path of encoder.keras."""
        return self.path / "encoder.keras"

    @property
    def decoder(self) -> Path:
        """Return the path of decoder.keras."""
        return self.path / "decoder.keras"

    @property
    def checkpoints(self) -> Path:
        """Return the folder of checkpoints."""
        return self.path / "checkpoints"

    def checkpoint(self, epoch: int) -> Path:
        """Return the path of the checkpoint that an epoch leaves."""
        return self.checkpoints / f"epoch-{epoch:04d}.weights.h5"

    def read_record(self) -> RunRecord:
        """Read run.json.

        Raises
        ------
        UsageError
            If it is missing or is no record of a run.
        """
        try:
            return RunRecord.model_validate_json(self.record.read_bytes())
        except FileNotFoundError:
            raise UsageError(
                f"{self.path}: expected a run folder, made by {command('train')}, but it has no run.json"
            ) from None
        except ValidationError as error:
            first = next(problems_of(error))
            raise UsageError(
                f"{self.record} is no record of a run: {first.where or 'the document'}: {first.expected}"
            ) from None

    def write_record(self, record: RunRecord) -> None:
        """Replace run.json."""
        replace(self.record, record.model_dump_json(indent=2).encode() + b"\n")

    def read_history(self) -> tuple[Epoch, ...]:
        """Read history.csv; a missing file is an empty history.

        Raises
        ------
        UsageError
            If its columns or values are not those of a history.
        """
        if not self.history.exists():
            return ()
        with self.history.open(newline="") as file:
            try:
                return tuple(_parse_row(row) for row in csv.DictReader(file))
            except (KeyError, TypeError, ValueError) as error:
                raise UsageError(
                    f"{self.history}: expected columns {', '.join(_columns())} with numbers, got {error!r}"
                ) from None

    def finished(self) -> tuple[Epoch, ...]:
        """Return the rows of the epochs up to the last one that has a checkpoint as well."""
        rows = self.read_history()
        while rows and not self.checkpoint(rows[-1].epoch).exists():
            rows = rows[:-1]
        return rows

    def set_aside(self, after_epoch: int) -> None:
        """Move the results of later epochs out of the way, if there are any.

        Later checkpoints and the models made from them go into a folder, the history stays beside as a copy.
        """
        later = [
            path for path in self.checkpoints.glob("epoch-*.weights.h5") if _epoch_of(path) > after_epoch
        ]
        rows = self.read_history()
        if not later and not [row for row in rows if row.epoch > after_epoch]:
            return
        number = 1
        while self._aside(number).exists():
            number += 1
        self._aside(number).mkdir(parents=True)
        if rows:
            replace(self.path / f"history.before-resume-{number}.csv", self.history.read_bytes())
        replace(self.history, history_bytes([row for row in rows if row.epoch <= after_epoch]))
        for path in (*later, self.encoder, self.decoder):
            if path.exists():
                path.rename(self._aside(number) / path.name)

    def _aside(self, number: int) -> Path:
        return self.checkpoints / f"before-resume-{number}"


def history_bytes(rows: Iterable[Epoch]) -> bytes:
    """Write rows as the content of history.csv; a value that an autoencoder lacks is an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return text.getvalue().encode()


def replace(path: Path, content: bytes) -> None:
    """Replace a file by one with this content: a reader sees the old or the new one, never a part."""
    replace_all({path: lambda temporary: temporary.write_bytes(content)})


def replace_all(writers: Mapping[Path, Callable[[Path], object]]) -> None:
    """Write files beside their paths, then move all into place: they change together."""
    temporaries = {path: path.with_name(f".new-{path.name}") for path in writers}
    for path, write in writers.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporaries[path])
    for path, temporary in temporaries.items():
        temporary.replace(path)


def _columns() -> list[str]:
    return [field.name for field in fields(Epoch)]


def _parse_row(row: Mapping[str, str]) -> Epoch:
    values = {name: float(row[name]) if row[name] else None for name in _columns()}
    return Epoch(**values | {"epoch": int(row["epoch"])})  # type: ignore[arg-type]


def _epoch_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("epoch-").removesuffix(".weights.h5"))
