"""The files of a run: what is written is read back, and a damaged one is named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from latentscan.errors import UsageError
from latentscan.images.preprocessing import Preprocessing
from latentscan.models.parameters import TrainParameters
from latentscan.models.run_folder import Epoch, RunFolder, RunRecord, history_bytes, replace_all


def epoch(number: int, kl_loss: float | None = 0.1) -> Epoch:
    return Epoch(
        epoch=number,
        total_loss=3.5,
        reco_loss=3.4,
        kl=kl_loss,
        kl_scaled=kl_loss,
        max_abs_epsilon=kl_loss,
        max_abs_epsilon_clipped=kl_loss,
        max_logvar=kl_loss,
        probe_reco=3.3,
        probe_kl=kl_loss,
        probe_radius_mean=1.25,
        probe_radius_max=2.5,
        seconds=0.75,
    )


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


def test_a_history_of_an_earlier_version_is_read(folder: RunFolder) -> None:
    names = "epoch,total_loss,reco_loss,kl_loss,max_abs_epsilon,max_logvar"
    folder.history.write_text(
        f"{names},probe_radius_mean,probe_radius_max,seconds\n1,3.5,3.4,0.1,4.5,-2,1.25,2.5,0.75\n"
    )
    (row,) = folder.read_history()
    assert (row.kl, row.kl_scaled, row.probe_kl, row.max_abs_epsilon) == (None, 0.1, None, 4.5)
    folder.history.write_bytes(history_bytes([row]))
    assert folder.read_history() == (row,)


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


def test_whoever_is_killed_while_epochs_are_set_aside_can_go_on(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = iter(range(20))

    def killed(_self: Path, _target: Path) -> Path:
        raise KeyboardInterrupt

    for kill in kills:
        with monkeypatch.context() as patched:
            left = kill
            rename, move = Path.rename, Path.replace

            def counted(self: Path, target: Path, own: Any = None) -> Path:
                nonlocal left
                left -= 1
                return killed(self, target) if left < 0 else own(self, target)

            patched.setattr(Path, "rename", lambda self, target, own=rename: counted(self, target, own))
            patched.setattr(Path, "replace", lambda self, target, own=move: counted(self, target, own))
            try:
                folder.set_aside(1)
            except KeyboardInterrupt:
                patched.undo()
                folder.remove_unfinished()
                assert [row.epoch for row in folder.read_history()] == [1, 2, 3]
            else:
                break
    contents = {path.read_bytes() for path in folder.path.rglob("*.h5")}
    assert contents == {b"weights 1", b"weights 2", b"weights 3"}
    assert [row.epoch for row in folder.read_history()] == [1]


def test_what_is_half_written_is_removed_and_a_checkpoint_without_its_row(folder: RunFolder) -> None:
    folder.checkpoint(4).write_bytes(b"not committed")
    for path in (folder.path / ".new-encoder.keras", folder.checkpoints / ".new-epoch-0005.weights.h5"):
        path.write_bytes(b"half")
    folder.remove_unfinished()
    assert sorted(path.name for path in folder.path.rglob("*") if path.is_file()) == [
        "decoder.keras",
        "encoder.keras",
        *(f"epoch-000{number}.weights.h5" for number in (1, 2, 3)),
        "history.csv",
    ]


@pytest.mark.parametrize("name", ["run.json", "history.csv"])
def test_a_pipe_in_the_place_of_a_file_is_not_read(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    folder = RunFolder(tmp_path)
    with pytest.raises(UsageError, match="expected a regular file"):
        folder.read_record() if name == "run.json" else folder.read_history()


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
