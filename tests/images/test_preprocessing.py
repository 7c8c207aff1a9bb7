"""Presets of loaders, and records of before there were any."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from latentscan.encoding.parameters import EncodeParameters
from latentscan.images.preprocessing import LOADERS, Preprocessing, as_recorded, assumed

OLD = {"crop": "square", "size": 32, "resampling": "bilinear", "value_range": [0.0, 1.0]}


def test_a_record_without_a_loader_means_what_was_done_then() -> None:
    read = Preprocessing.model_validate(OLD)
    assert (read.loader, read.orientation, read.alpha) == ("latentscan", "exif", "white")
    assert as_recorded(read, OLD) == OLD
    added = {"channels": "rgb", "fit": "crop", "mean": None, "std": None}
    loading = {"loader": "latentscan", "orientation": "exif", "alpha": "white"}
    assert as_recorded(read, None) == {**OLD, **loading, **added}
    assert as_recorded(read, {**OLD, **loading}) == {**OLD, **loading}
    changed = read.model_copy(update={"alpha": "dropped"})
    assert as_recorded(changed, OLD) == {**OLD, "alpha": "dropped"}


@pytest.mark.parametrize("loader", LOADERS)
def test_what_is_not_given_is_as_the_loader_does_it(loader: str) -> None:
    made = Preprocessing.model_validate({"loader": loader})
    assert made.model_dump(include=set(LOADERS[loader])) == LOADERS[loader]
    assert made.model_fields_set == {"loader"}
    assert Preprocessing.model_validate_json(made.model_dump_json()) == made
    own = Preprocessing.model_validate({"loader": loader, "alpha": "black", "crop": 9})
    assert (own.alpha, own.crop, own.orientation) == ("black", 9, LOADERS[loader]["orientation"])


def test_a_loader_is_asked_for_with_all_that_it_does() -> None:
    asked = EncodeParameters(loader="keras", crop="square").preprocessing
    assert asked == {**LOADERS["keras"], "loader": "keras", "crop": "square"}
    assert EncodeParameters(seed=3).preprocessing == {}


def test_what_is_assumed_is_what_a_store_was_begun_with() -> None:
    fitting = Preprocessing(size=32)
    new = assumed(fitting, None)
    assert (new.loader, new.orientation, new.alpha, new.size) == ("latentscan", "stored", "dropped", 32)
    assert assumed(fitting, OLD) == fitting
    assert assumed(fitting, as_recorded(new, None)) == new


def test_a_loader_that_does_not_exist() -> None:
    for wrong in ("opencv", ["pil"], None):
        with pytest.raises(ValidationError, match="loader"):
            Preprocessing.model_validate({"loader": wrong})


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        ({"size": 64}, (64, 64, 3)),
        ({"size": "64"}, (64, 64, 3)),
        ({"size": "64x96"}, (64, 96, 3)),
        ({"size": [28, 28], "channels": "grey"}, (28, 28, 1)),
    ],
)
def test_the_shape_of_what_an_encoder_takes(given: dict[str, Any], shape: tuple[int, int, int]) -> None:
    chosen = Preprocessing.model_validate(given)
    assert chosen.shape == shape
    assert Preprocessing.model_validate(chosen.model_dump(mode="json")) == chosen
    assert isinstance(chosen.size, int) == (shape[0] == shape[1])


def test_figures_of_channels_are_numbers_or_those_of_a_data_set() -> None:
    chosen = Preprocessing.model_validate({"mean": "imagenet", "std": "0.5"})
    assert (chosen.mean, chosen.std) == ((0.485, 0.456, 0.406), (0.5,))


@pytest.mark.parametrize(
    "given",
    [
        {"size": "64x"},
        {"size": "4"},
        {"size": (8, 9, 3)},
        {"mean": "0.5,0.5"},
        {"std": "0"},
        {"mean": "celeba"},
        {"value_range": (1.0, 1.0)},
    ],
)
def test_what_is_no_shape_and_no_figure_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(given))):
        Preprocessing.model_validate(given)


def test_stretching_is_one_thing_by_two_names() -> None:
    assert Preprocessing(crop="none").fitted == Preprocessing(fit="stretch").fitted == "stretch"
    assert Preprocessing(crop="none", fit="pad").fitted == "pad"
