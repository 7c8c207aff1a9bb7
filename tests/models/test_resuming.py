from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from latentscan.errors import ParameterError, UsageError, spelled
from latentscan.models.run_folder import RunFolder
from latentscan.models.training import train

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from latentscan.images.preprocessing import Preprocessing
    from latentscan.models.parameters import TrainParameters
    from latentscan.progress import Advance


@pytest.fixture
def run(tmp_path: Path, vae_run: Path) -> Path:
    return shutil.copytree(vae_run, tmp_path / "vae")


def figures(run: Path) -> list[tuple[Any, ...]]:
    rows = RunFolder(run).read_history()
    return [(row.epoch, row.total_loss, row.max_abs_epsilon, row.probe_radius_mean) for row in rows]


def test_a_run_is_not_begun_over_another(
    run: Path, source: Any, tiny_vae: TrainParameters, small: Preprocessing
) -> None:
    with pytest.raises(ParameterError) as caught:
        train(source, run, tiny_vae, small)
    assert (caught.value.field, caught.value.value) == ("out", run)
    assert "--resume" in caught.value.spelled("command line")


@pytest.mark.parametrize("resume", [False, True])
def test_a_training_that_was_killed_before_its_record_was_in_place_begins_anew(
    tmp_path: Path, source: Any, tiny_ae: TrainParameters, small: Preprocessing, resume: bool
) -> None:
    (tmp_path / ".new-run.json").write_text("{")
    made = train(source, tmp_path, tiny_ae, small, resume=resume)
    assert len(made.history) == 1
    assert not list(tmp_path.rglob(".new-*"))


def test_a_folder_with_anything_else_is_refused(
    tmp_path: Path, source: Any, tiny_ae: TrainParameters, small: Preprocessing
) -> None:
    for name in (".new-run.json", "thesis.tex"):
        (tmp_path / name).write_text("{")
    with pytest.raises(ParameterError, match="something else than a training"):
        train(source, tmp_path, tiny_ae, small)
    assert {path.name for path in tmp_path.iterdir()} == {".new-run.json", "thesis.tex"}


def test_an_epoch_that_was_killed_while_it_was_written_leaves_nothing(
    run: Path, vae_run: Path, source: Any, tiny_vae: TrainParameters, small: Preprocessing
) -> None:
    history = run / "history.csv"
    history.write_text("".join(history.read_text().splitlines(keepends=True)[:3]))
    (run / ".new-history.csv").write_text("half")
    train(source, run, tiny_vae, small, resume=True)
    assert figures(run) == figures(vae_run)
    names = {path.relative_to(run) for path in run.rglob("*")}
    assert names == {path.relative_to(vae_run) for path in vae_run.rglob("*")}


def test_resume_of_nothing_is_an_error(
    tmp_path: Path, source: Any, tiny_vae: TrainParameters, small: Preprocessing
) -> None:
    with pytest.raises(UsageError, match=r"it has no run\.json"):
        train(source, tmp_path, tiny_vae, small, resume=True)


def test_a_finished_run_resumes_to_itself_and_makes_missing_models_only(
    run: Path, source: Any, tiny_vae: TrainParameters, small: Preprocessing
) -> None:
    before = figures(run)
    (run / "decoder.keras").unlink()
    train(source, run, tiny_vae, small, resume=True)
    encoder = (run / "encoder.keras").read_bytes()
    assert (run / "decoder.keras").exists()
    made = train(source, run, tiny_vae, small, resume=True)
    assert figures(run) == before
    assert made.images == 60
    assert (run / "encoder.keras").read_bytes() == encoder
    assert not list(run.rglob("*before-resume*"))


def test_epochs_may_grow_and_the_start_is_recorded(
    run: Path, source: Any, tiny_vae: TrainParameters, small: Preprocessing
) -> None:
    before = figures(run)
    longer = tiny_vae.model_copy(update={"epochs": 4, "learning_rate": 1e-3})
    made = train(source, run, longer, small, resume=True)
    assert [row.epoch for row in made.history] == [1, 2, 3, 4]
    assert figures(run)[:3] == before
    record = RunFolder(run).read_record()
    assert record.parameters == longer
    assert [(start.after_epoch, start.epochs, start.learning_rate) for start in record.starts] == [
        (0, 3, 1e-2),
        (3, 4, 1e-3),
    ]


def test_resume_from_repeats_the_later_epochs_and_keeps_the_old_ones_aside(
    run: Path, vae_run: Path, source: Any, tiny_vae: TrainParameters, small: Preprocessing
) -> None:
    train(source, run, tiny_vae, small, resume_from=1)
    assert figures(run) == figures(vae_run)
    assert (run / "history.before-resume-1.csv").read_bytes() == (vae_run / "history.csv").read_bytes()
    aside = sorted(path.name for path in (run / "checkpoints" / "before-resume-1").iterdir())
    assert aside == ["decoder.keras", "encoder.keras", "epoch-0002.weights.h5", "epoch-0003.weights.h5"]


def test_resume_from_may_change_the_seed_which_is_recorded(
    run: Path, vae_run: Path, source: Any, tiny_vae: TrainParameters, small: Preprocessing
) -> None:
    other = tiny_vae.model_copy(update={"seed": 5})
    for number in (1, 2):
        train(source, run, other, small, resume_from=2)
        assert (run / f"history.before-resume-{number}.csv").exists()
    assert figures(run)[:2] == figures(vae_run)[:2]
    assert figures(run)[2] != figures(vae_run)[2]
    record = RunFolder(run).read_record()
    assert [(start.after_epoch, start.seed) for start in record.starts] == [(0, 0), (2, 5), (2, 5)]


def test_resume_goes_on_from_the_last_epoch_with_row_and_checkpoint(
    run: Path, vae_run: Path, source: Any, tiny_vae: TrainParameters, small: Preprocessing
) -> None:
    (run / "checkpoints" / "epoch-0003.weights.h5").unlink()
    history = run / "history.csv"
    history.write_text("".join(history.read_text().splitlines(keepends=True)[:3]))
    train(source, run, tiny_vae, small, resume=True)
    assert figures(run) == figures(vae_run)
    assert RunFolder(run).read_record().starts[-1].after_epoch == 2


def test_every_contradiction_with_the_record_is_named(
    run: Path,
    make_source: Any,
    images: NDArray[Any],
    tiny_vae: TrainParameters,
    small: Preprocessing,
) -> None:
    other = tiny_vae.model_copy(update={"z_dim": 4, "seed": 1, "epochs": 2, "cache_bytes": 0})
    cropped = small.model_copy(update={"crop": "none"})
    with pytest.raises(UsageError) as caught:
        train(make_source(images, kind="other"), run, other, cropped, resume=True)
    message = caught.value.spelled("command line")
    named = ("--z-dim is 3", "--seed is 0", "--crop is square", "the source.kind is memory", "--epochs is 3")
    assert [part for part in named if part not in message] == []
    assert str(run / "run.json") in message
    assert "--out" in message
    assert not list(run.glob("*before-resume*"))


def test_an_epoch_without_checkpoint_is_refused_with_those_that_have_one(
    run: Path, source: Any, tiny_vae: TrainParameters, small: Preprocessing
) -> None:
    (run / "checkpoints" / "epoch-0002.weights.h5").unlink()
    for epoch in (2, 9, -1):
        with pytest.raises(ParameterError, match="1, 3") as caught:
            train(source, run, tiny_vae, small, resume_from=epoch)
        assert (caught.value.field, caught.value.value) == ("resume_from", epoch)


def test_a_damaged_checkpoint_is_named(
    run: Path, source: Any, tiny_vae: TrainParameters, small: Preprocessing
) -> None:
    checkpoint = run / "checkpoints" / "epoch-0003.weights.h5"
    checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
    with pytest.raises(UsageError, match=r"epoch-0003.weights.h5") as caught:
        train(source, run, tiny_vae, small, resume=True)
    assert "--resume-from 2" in caught.value.spelled("command line")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.json", "{", "run.json is no record of a run: the document"),
        ("run.json", json.dumps({"format": 2}), "run.json is no record of a run: format: expected 1"),
        ("history.csv", "epoch,loss\n1,2\n", "history.csv: expected columns epoch, total_loss"),
        ("history.csv", "epoch\nx\n", "history.csv: expected columns epoch, total_loss"),
    ],
)
def test_a_damaged_record_is_named(
    run: Path,
    source: Any,
    tiny_vae: TrainParameters,
    small: Preprocessing,
    name: str,
    content: str,
    message: str,
) -> None:
    (run / name).write_text(content)
    with pytest.raises(UsageError, match=message):
        train(source, run, tiny_vae, small, resume=True)


def test_from_an_earlier_epoch_logvar_may_be_clipped_to_see_what_a_jump_is_due_to(
    run: Path, source: Any, tiny_vae: TrainParameters, small: Preprocessing
) -> None:
    from latentscan.models.backend import keras

    def logvar() -> NDArray[Any]:
        encoder = keras.models.load_model(run / "encoder.keras")
        return np.asarray(encoder.predict(source.values / 255.0, verbose=0)[1])

    before = logvar()
    limit = float(np.abs(before).mean())
    clipped = tiny_vae.model_copy(update={"logvar_limit": limit, "epsilon_limit": 1.0})
    with pytest.raises(UsageError, match="logvar_limit"):
        train(source, run, clipped, small, resume=True)
    train(source, run, clipped, small, resume_from=1)
    assert np.abs(before).max() > 1.05 * limit
    assert np.abs(logvar()).max() <= limit * (1 + 1e-6)
    assert RunFolder(run).read_history()[-1].max_abs_epsilon_clipped == 1
    record = RunFolder(run).read_record()
    assert [(start.epsilon_limit, start.logvar_limit) for start in record.starts] == [(5, None), (1, limit)]
    train(source, run, tiny_vae, small, resume_from=1)
    np.testing.assert_allclose(logvar(), before, rtol=1e-5)


def test_a_jump_is_said_with_how_to_replay_it(
    run: Path, source: Any, tiny_vae: TrainParameters, small: Preprocessing
) -> None:
    class Heard:
        def __init__(self) -> None:
            self.lines: list[str] = []

        @contextmanager
        def task(self, _label: str, _total: int, _unit: str, _done: int = 0) -> Iterator[Advance]:
            yield lambda _amount, /, **_figures: None

        def log(self, line: str) -> None:
            self.lines.append(spelled(line, "command line"))

    heard = Heard()
    train(
        source,
        run,
        tiny_vae.model_copy(update={"epochs": 4, "learning_rate": 0.12}),  # steps far too long
        small,
        resume=True,
        progress=heard,
    )
    (line,) = heard.lines
    assert line.startswith("epoch 4: ")
    assert "by a factor of" in line
    assert "--resume-from 3 --seed 1; then with --epsilon-limit 3 or --logvar-limit 10" in line
