from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from latentscan.report.ledger import figure, section, table, to_json
from latentscan.store.results import Result, Variable

TERMS = {
    "kl": (12.0, 0.1),
    "kl_of_mu": (9.0, 0.1),
    "kl_of_variance": (3.0, 0.1),
    "information": (5.0, 0.2),
    "distance_from_prior": (7.0, 0.2),
    "information_limit": (9.2, 0.0),
    "gaussian_kl": (6.5, np.nan),
    "gaussian_marginals": (5.5, np.nan),
    "total_correlation": (1.0, np.nan),
    "gaussian_floor": (0.1, np.nan),
    "reconstruction": (1530.0, 1.5),
    "floor": (1350.0, 2.0),
    "excess": (180.0, 2.5),
    "mean_image_excess": (720.0, 5.0),
    "excess_share": (0.25, 0.003),
    "probe_reco_logged": (1526.83, 0.0),
    "probe_reco": (1526.8301, 0.0),
    "probe_kl_logged": (12.1, 0.0),
    "probe_kl": (13.1, 0.0),
}


def result(**changed: tuple[float, float]) -> Result:
    terms = {**TERMS, **changed}
    return Result(
        {
            "term": Variable(("term",), np.array(list(terms))),
            "value": Variable(("term",), np.array([value for value, _ in terms.values()])),
            "error": Variable(("term",), np.array([error for _, error in terms.values()])),
        },
        {"images": 10_000, "components": 8, "loss": "bce", "missing": ["what the cat thinks"]},
    )


def widths(axes: Any) -> list[float]:
    return [bar.get_width() for bar in axes.patches if bar.get_width()]


def text(found: Result) -> str:
    console = Console(width=80, file=io.StringIO())
    with console.capture() as captured:
        console.print(table({"z.zarr": found}))
    return captured.get()


def test_the_table_has_every_term_and_names_what_is_missing() -> None:
    shown = text(result())
    for words in ("180.0 ± 2.5", "25.0 % ± 0.3", "of it: information on the image", "what the cat thinks"):
        assert words in shown


def test_json_has_no_nan() -> None:
    document = json.loads(json.dumps(to_json(result()), allow_nan=False))
    assert document["terms"]["gaussian_kl"] == {"value": 6.5, "error": None}
    assert document["missing"] == ["what the cat thinks"]


def test_sentences_say_what_the_losses_are_made_of() -> None:
    said = section({"z.zarr": result()})
    assert said.verdicts[0].startswith("z.zarr: reconstruction is 180.0 ± 2.5 above the floor")
    assert "5.00 ± 0.20 of information about the image (of at most 9.2)" in said.verdicts[1]
    same, other = said.details
    assert "the same to 7e-08" in same
    assert "they differ" in other
    full = section({"z.zarr": result(information=(9.19, 0.0))})
    assert "they are all told apart" in full.verdicts[1]


def test_the_figure_has_a_bar_for_each_store_and_none_without_kl() -> None:
    without = {name: value for name, value in TERMS.items() if name.startswith(("gaussian", "total"))}
    plain = result()
    plain = Result(
        {
            "term": Variable(("term",), np.array(list(without))),
            "value": Variable(("term",), np.array([value for value, _ in without.values()])),
            "error": Variable(("term",), np.array([error for _, error in without.values()])),
        },
        plain.attributes,
    )
    excess, parts, meaning = figure({"vae": result(), "ae": plain}).axes
    assert widths(excess) == [180.0]
    assert widths(parts) == [9.0, 3.0]
    assert widths(meaning) == [5.0, 7.0]
    assert "  no KL" in [one.get_text() for one in parts.texts]
    (prior,) = figure({"ae": plain}).axes
    assert pytest.approx([5.5, 1.0]) == widths(prior)
