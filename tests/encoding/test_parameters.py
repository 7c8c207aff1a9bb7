"""One model of parameters for the command, job files and Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from latentscan.encoding.parameters import Encode, EncodeParameters
from latentscan.errors import ParameterError, UsageError, parameter_error


def test_only_what_is_set_of_the_preprocessing_is_asked_for() -> None:
    assert EncodeParameters(seed=3).preprocessing == {}
    asked = EncodeParameters(size="64", value_range=["-1", "1"])
    assert asked.preprocessing == {"size": 64, "value_range": (-1.0, 1.0)}


def test_a_job_says_the_same_as_the_command() -> None:
    step = Encode(images="faces", model=("run",), crop="none", seed=3)
    assert step.parameters == EncodeParameters(crop="none", seed=3)
    assert step.parameters.model_fields_set == {"crop", "seed"}
    assert step.preprocessing == {"crop": "none"}


def test_a_root_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert EncodeParameters(root="faces").root == str(Path.cwd() / "faces")
    assert EncodeParameters(root="s3://bucket/faces").root == "s3://bucket/faces"
    with pytest.raises(UsageError):
        EncodeParameters(root="s3://key:secret@bucket/faces")


@pytest.mark.parametrize(
    "given",
    [
        {"chunk_rows": 0},
        {"seed": -1},
        {"epsilon_limit": float("inf")},
        {"epsilon_factor": -1},
        {"compression": "gzip"},
        {"pixel_limit": 0},
        {"size": 4},
        {"value_range": (0, float("nan"))},
        {"chunk": 5},
    ],
)
def test_a_wrong_value_is_an_error_of_its_field(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        EncodeParameters(**given)
    error = parameter_error(refused.value, given)
    assert isinstance(error, ParameterError)
    assert error.field == next(iter(given))


@pytest.mark.parametrize("model", ["s3://bucket/run", "", ()])
def test_a_job_has_models_on_a_disk(model: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        Encode(images="faces", model=model)
    assert {problem["loc"][0] for problem in refused.value.errors()} == {"model"}
