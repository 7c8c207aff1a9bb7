"""The run folder: record, history, checkpoints and models of one training, each replaced atomically."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from latentscan.errors import UsageError, command, problems_of
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.packing import sha256
from latentscan.models.parameters import TrainParameters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

SINCE = ("kl", "max_abs_epsilon_clipped", "probe_reco", "probe_kl")  # columns that earlier versions lack


class Start(BaseModel):
    """One start or resume of a training; one of an earlier version says nothing of the limits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: str
    after_epoch: int
    seed: int
    learning_rate: float
    epochs: int
    epsilon_limit: float | None = None
    logvar_limit: float | None = None


class Probe(BaseModel):
    """The images of which the figures of a probe are: every `step`-th one of the training, from the first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int
    images: int


class RunRecord(BaseModel):
    """The content of run.json: everything needed to repeat a training.

    `images` and `rejected` are None until the first epoch has decoded every image; `probe` is None in a run
    of an earlier version.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    parameters: TrainParameters
    preprocessing: Preprocessing
    source: dict[str, Any]
    images: int | None = None
    rejected: int | None = None
    probe: Probe | None = None
    versions: dict[str, str]
    starts: tuple[Start, ...]


@dataclass(frozen=True)
class Epoch:
    """One row of history.csv: losses are averages over the epoch's images, extremes are over its steps.

    An average is taken while the weights move: it is not what the weights at the end of the epoch give. The
    figures of the probe are theirs: of a fixed part of the training images (`RunRecord.probe`), without noise
    (z = mu), and with layers as in encoding. They can be compared with a store of these images.

    An autoencoder has no KL loss, epsilon and logvar; a run of an earlier version may lack some figures.

    Parameters
    ----------
    epoch
        The number of the epoch, from 1.
    total_loss, reco_loss
        The loss that is minimized, and the part of it that is the reconstruction's.
    kl, kl_scaled
        The KL divergence from N(0, 1), in nats an image, and what it adds to the loss: `fact` times as much.
    max_abs_epsilon, max_abs_epsilon_clipped
        The largest |epsilon| as it was drawn, and after clipping, as it made z.
    max_logvar
        The largest logvar.
    probe_reco, probe_kl
        The reconstruction loss, and the KL divergence in nats an image, of the probe.
    probe_radius_mean, probe_radius_max
        Of the radii of mu (AE: z) of the probe.
    seconds
        The wall time, with the probe's.
    """

    epoch: int
    total_loss: float
    reco_loss: float
    kl: float | None
    kl_scaled: float | None
    max_abs_epsilon: float | None
    max_abs_epsilon_clipped: float | None
    max_logvar: float | None
    probe_reco: float | None
    probe_kl: float | None
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
        if self.record.exists() and not self.record.is_file():
            raise UsageError(f"{self.record}: expected a regular file, got a folder, a device, or alike")
        try:
            return RunRecord.model_validate_json(self.record.read_bytes())
        except FileNotFoundError:
            raise UsageError(
                f"{self.path}: expected a run folder, made by {command('train')}, but it has no run.json"
            ) from None
        except OSError as error:
            raise UsageError(f"{self.record} cannot be read: {error.strerror}") from None
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
        if not self.history.is_file():
            raise UsageError(f"{self.history}: expected a regular file, got a folder, a device, or alike")
        with self.history.open(newline="") as file:
            try:
                return tuple(_parse_row(row) for row in csv.DictReader(file))
            except (KeyError, TypeError, ValueError, csv.Error) as error:
                raise UsageError(
                    f"{self.history}: expected columns {', '.join(_columns())} with numbers, got {error!r}"
                ) from None

    def finished(self) -> tuple[Epoch, ...]:
        """Return the rows of the epochs up to the last one that has a checkpoint as well."""
        rows = self.read_history()
        while rows and not self.checkpoint(rows[-1].epoch).exists():
            rows = rows[:-1]
        return rows

    def is_done(self, epochs: int) -> bool:
        """Return whether so many epochs are finished, and the models of the last one are saved."""
        return len(self.finished()) >= epochs and self.encoder.exists() and self.decoder.exists()

    def begins_anew(self) -> bool:
        """Return whether all that is in the folder is what a training leaves that is killed at its start."""
        if not self.path.is_dir() or self.record.exists():
            return False
        names = [path.name for path in self.path.iterdir()]
        return bool(names) and all(name == _new(self.record).name for name in names)

    def remove_unfinished(self) -> None:
        """Remove what a training that was killed left half written, and a checkpoint without its row."""
        for folder in (self.path, self.checkpoints):
            for path in folder.glob(".new-*"):
                path.unlink()
        last = max((row.epoch for row in self.read_history()), default=0)
        for path in self._later_checkpoints(last):
            path.unlink()

    def set_aside(self, after_epoch: int) -> None:
        """Move the results of later epochs out of the way, if there are any.

        Later checkpoints and the models made from them go into a folder, the history stays beside as a copy.
        The history is cut last: whoever is killed on the way finds in it what is still to be moved.
        """
        rows = self.read_history()
        later = self._later_checkpoints(after_epoch)
        if not later and not [row for row in rows if row.epoch > after_epoch]:
            return
        number = 1
        while self._aside(number).exists() and any(self._aside(number).iterdir()):
            number += 1
        self._aside(number).mkdir(parents=True, exist_ok=True)
        for path in (*reversed(later), self.encoder, self.decoder):
            if path.exists():
                path.rename(self._aside(number) / path.name)
        if rows:
            replace(self.path / f"history.before-resume-{number}.csv", self.history.read_bytes())
        replace(self.history, history_bytes([row for row in rows if row.epoch <= after_epoch]))

    def _later_checkpoints(self, after_epoch: int) -> list[Path]:
        found = sorted(self.checkpoints.glob("epoch-*.weights.h5"))
        return [path for path in found if _epoch_of(path) > after_epoch]

    def _aside(self, number: int) -> Path:
        return self.checkpoints / f"before-resume-{number}"


def is_another(path: Path, encoder: Mapping[str, Any] | None) -> bool:
    """Return whether a run folder holds another encoder than the one that a store records.

    Parameters
    ----------
    path
        The run folder; of other files, nothing is known.
    encoder
        The record of the encoder in the store; None where there is none.
    """
    folder, written_by = RunFolder(path), (encoder or {}).get("sha256")
    is_run = folder.record.exists() and folder.encoder.exists()
    return bool(written_by) and is_run and sha256(folder.encoder) != written_by


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
    temporaries = {path: _new(path) for path in writers}
    for path, write in writers.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporaries[path])
    for path, temporary in temporaries.items():
        temporary.replace(path)


def _new(path: Path) -> Path:
    return path.with_name(f".new-{path.name}")


def _columns() -> list[str]:
    return [field.name for field in fields(Epoch)]


def _parse_row(row: Mapping[str, str]) -> Epoch:
    """Read a row, or one of an earlier version, which had no probe and called `kl_scaled` kl_loss."""
    if "kl_loss" in row:
        row = {**dict.fromkeys(SINCE, ""), **row, "kl_scaled": row["kl_loss"]}
    values = {name: float(row[name]) if row[name] else None for name in _columns()}
    return Epoch(**values | {"epoch": int(row["epoch"])})  # type: ignore[arg-type]


def _epoch_of(checkpoint: Path) -> int:
    number = checkpoint.name.removeprefix("epoch-").removesuffix(".weights.h5")
    return int(number) if number.isdigit() else 0
