"""The files of a run: what is written is read back, and a damaged one is named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from latentscan.errors import UsageError
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.parameters import TrainParameters
from latentscan.models.run_folder import Epoch, RunFolder, RunRecord, history_bytes, replace_all

if TYPE_CHECKING:
    from pathlib import Path


def epoch(number: int, kl_loss: float | None = 0.1) -> Epoch:
    return Epoch(number, 3.5, 3.4, kl_loss, kl_loss, kl_loss, 1.25, 2.5, 0.75)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run of three epochs."""
    run = RunFolder(tmp_path / "run")
    run.checkpoints.mkdir(parents=True)
    for number in (1, 2, 3):
        run.checkpoint(number).write_bytes(b"weights %d" % number)
    run.encoder.write_bytes(b"encoder")
    run.decoder.write_bytes(b"decoder")
    run.history.write_bytes(history_bytes([epoch(1), epoch(2), epoch(3)]))
    return run


def test_a_record_is_read_as_it_was_written(folder: RunFolder) -> None:
    record = RunRecord(
        parameters=TrainParameters(kind="vae", dense=(5,)),
        preprocessing=Preprocessing(crop=100, value_range=(-1, 1)),
        source={"kind": "folder", "images": 3},
        versions={"keras": "3"},
        starts=(),
    )
    folder.write_record(record)
    assert folder.read_record() == record


@pytest.mark.parametrize("kl_loss", [0.1, None])
def test_a_history_is_read_as_it_was_written(folder: RunFolder, kl_loss: float | None) -> None:
    rows = (epoch(1, kl_loss), epoch(2, kl_loss))
    folder.history.write_bytes(history_bytes(rows))
    assert folder.read_history() == rows
    folder.history.unlink()
    assert folder.read_history() == ()


def test_an_epoch_is_finished_with_its_row_and_its_checkpoint(folder: RunFolder) -> None:
    assert [row.epoch for row in folder.finished()] == [1, 2, 3]
    folder.checkpoint(3).unlink()
    assert [row.epoch for row in folder.finished()] == [1, 2]


def test_later_epochs_are_set_aside_and_nothing_is_lost(folder: RunFolder) -> None:
    whole = folder.history.read_bytes()
    folder.set_aside(1)
    assert [row.epoch for row in folder.read_history()] == [1]
    aside = folder.checkpoints / "before-resume-1"
    assert {path.name for path in aside.iterdir()} == {
        *("epoch-0002.weights.h5", "epoch-0003.weights.h5", "encoder.keras", "decoder.keras")
    }
    assert (folder.path / "history.before-resume-1.csv").read_bytes() == whole
    folder.set_aside(1)
    assert not (folder.checkpoints / "before-resume-2").exists()


def test_files_change_together_or_not_at_all(folder: RunFolder) -> None:
    def fail(_path: Path) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        replace_all({folder.encoder: lambda path: path.write_bytes(b"new"), folder.decoder: fail})
    assert (folder.encoder.read_bytes(), folder.decoder.read_bytes()) == (b"encoder", b"decoder")


def test_a_folder_without_a_record_is_no_run(folder: RunFolder) -> None:
    with pytest.raises(UsageError) as caught:
        folder.read_record()
    assert "latentscan train" in caught.value.spelled("command line")


@pytest.mark.parametrize("content", ["{", json.dumps({"format": 2}), "[]"])
def test_a_damaged_record_is_named(folder: RunFolder, content: str) -> None:
    folder.record.write_text(content)
    with pytest.raises(UsageError, match=r"run\.json"):
        folder.read_record()


@pytest.mark.parametrize("content", ["epoch,loss\n1,2\n", "epoch\nx\n"])
def test_a_damaged_history_is_named(folder: RunFolder, content: str) -> None:
    folder.history.write_text(content)
    with pytest.raises(UsageError, match=r"history\.csv"):
        folder.read_history()
