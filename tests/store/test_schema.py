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


@pytest.mark.parametrize(
    "change", [{"chunk_rows": -1}, {"chunk_rows": 0}, {"chunk_rows": 10**20}, {"compression": "rar"}]
)
def test_an_impossible_parameter_is_named(change: dict[str, Any]) -> None:
    with pytest.raises(ParameterError) as raised:
        Schema(**{"images": 1, "components": 1, "latents": ("z",), **change})
    assert {raised.value.field: raised.value.value} == change


def test_a_block_has_no_more_rows_than_there_are_images() -> None:
    schema = Schema(60, 4, ("z",), chunk_rows=5_000_000)
    assert (schema.chunk_rows, schema.blocks, schema.rows(0)) == (60, 1, range(60))
    assert schema == Schema(60, 4, ("z",), chunk_rows=60)


@pytest.mark.parametrize(
    ("images", "components", "chunk_rows", "message"),
    [
        (
            10**9,
            256,
            2**30,
            "takes 1,088,000,000,000 bytes, more than 2,000,000,000; expected at most 1838235",
        ),
        (10, 10**9, 5, "a single row is too large"),
        (10**9, 2, 100, "10,000,000 blocks, more than 4,194,304; expected at least 239"),
    ],
)
def test_blocks_that_are_too_large_or_too_many_are_refused(
    images: int, components: int, chunk_rows: int, message: str
) -> None:
    schema = Schema(images, components, ("z",), chunk_rows)
    with pytest.raises(ParameterError, match=message) as refused:
        schema.require_fitting_blocks()
    assert refused.value.field == "chunk_rows"
    Schema(10**9, 256, ("mu", "logvar", "z")).require_fitting_blocks()
