"""Presets of loaders, and records of before there were any."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from latentscan.encoding.parameters import EncodeParameters
from latentscan.images.preprocessing import LOADERS, Preprocessing, as_recorded, assumed

OLD = {"crop": "square", "size": 32, "resampling": "bilinear", "value_range": [0.0, 1.0]}


def test_a_record_without_a_loader_means_what_was_done_then() -> None:
    read = Preprocessing.model_validate(OLD)
    assert (read.loader, read.orientation, read.alpha) == ("latentscan", "exif", "white")
    assert as_recorded(read, OLD) == OLD
    assert as_recorded(read, None) == {**OLD, "loader": "latentscan", "orientation": "exif", "alpha": "white"}
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
