from __future__ import annotations

from typing import Any

import pytest

from latentscan.errors import ParameterError, UsageError
from latentscan.store.schema import Schema


def test_the_last_block_holds_the_rest() -> None:
    schema = Schema(10, 3, ("z",), chunk_rows=4)
    assert [schema.rows(block) for block in range(schema.blocks)] == [range(4), range(4, 8), range(8, 10)]


def test_optional_arrays_follow_the_latents_in_a_fixed_order() -> None:
    assert Schema(10, 3, ("z",)).names == ("z", "path", "status")
    whole = Schema(10, 3, ("z", "logvar", "mu"), labels=("Male",), split=True)
    assert whole.names == ("mu", "logvar", "z", "path", "status", "split", "attribute")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 0}, "images is 0"),
        ({"components": 0}, "components is 0"),
        ({"latents": ()}, "expected some of"),
        ({"latents": ("x",)}, "expected some of"),
    ],
)
def test_an_impossible_shape_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Schema(**{"images": 1, "components": 1, "latents": ("z",), **change})


@pytest.mark.parametrize("change", [{"chunk_rows": -1}, {"chunk_rows": 0}, {"compression": "rar"}])
def test_an_impossible_parameter_is_named(change: dict[str, Any]) -> None:
    with pytest.raises(ParameterError) as raised:
        Schema(**{"images": 1, "components": 1, "latents": ("z",), **change})
    assert {raised.value.field: raised.value.value} == change
