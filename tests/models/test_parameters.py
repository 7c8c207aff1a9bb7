from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from latentscan.errors import UsageError
from latentscan.models.parameters import TrainParameters, require_memory


def test_defaults_are_those_of_the_study() -> None:
    parameters = TrainParameters(kind="vae")
    assert parameters.model_dump() == {
        "kind": "vae",
        "z_dim": 256,
        "filters": (32, 64, 128, 256),
        "activation": "leaky_relu",
        "batch_norm": False,
        "dense": (),
        "reconstruction": "bce",
        "fact": 1e-5,
        "epochs": 24,
        "batch_size": 128,
        "learning_rate": 5e-4,
        "seed": 0,
        "epsilon_limit": 5.0,
        "epsilon_factor": 1.0,
        "logvar_limit": None,
        "split": "train",
        "cache_bytes": 2**31,
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "gan"),
        ("z_dim", 0),
        ("filters", ()),
        ("filters", (8, 0)),
        ("activation", "nosuch"),
        ("reconstruction", "ssim"),
        ("fact", -1),
        ("fact", float("nan")),
        ("epochs", 0),
        ("batch_size", 0),
        ("learning_rate", 0),
        ("learning_rate", float("inf")),
        ("seed", -1),
        ("epsilon_limit", 0),
        ("epsilon_factor", -1),
        ("logvar_limit", 0),
        ("cache_bytes", -1),
        ("nosuch", 1),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        TrainParameters.model_validate({"kind": "vae"} | {field: value})
    assert {error["loc"][0] for error in caught.value.errors()} == {field}


def test_every_parameter_is_described() -> None:
    assert all(field.description for field in TrainParameters.model_fields.values())


@pytest.mark.parametrize("module", ["parameters", "run_folder", "points"])
def test_light_modules_do_not_import_keras(module: str) -> None:
    code = f"import sys, latentscan.models.{module}; print({{'keras', 'tensorflow'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_network_that_this_machine_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = TrainParameters(kind="ae", filters=(65536, 65536))
    require_memory(TrainParameters(kind="vae"), 96)
    with pytest.raises(UsageError, match=r"GB for weights and .* this machine has .* give less of filters, "):
        require_memory(wide, 512)
    monkeypatch.setattr("latentscan.models.parameters.memory_bytes", lambda: None)
    require_memory(wide, 512)  # where the system does not say, it is tried
