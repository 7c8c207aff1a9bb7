"""A few seeds of the campaign, and what it says of an analysis that is wrong too often."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.rates import labels, ledger
from tests.rates.__main__ import main
from tests.rates.campaign import Part, Said, Tally

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


def test_few_seeds_end_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "2", "--only", "labels", "--only", "ledger"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["verdict", "states", "false", "at", "most", "found", "s"]
    names = [row.partition("  ")[0].partition(": ") for row in rows]
    expected = [(part.name, verdict) for part in (labels.PART, ledger.PART) for verdict in part.states]
    assert [(part, verdict) for part, _, verdict in names] == expected
    assert all(row.split("%")[1].split()[0].endswith("/2") for row in rows)


@pytest.mark.parametrize(("wrong_of_20", "fails"), [(2, False), (10, True)])
def test_what_is_false_more_often_than_stated_fails(wrong_of_20: int, fails: bool, tmp_path: Path) -> None:
    seeds = iter(range(20))

    def tried(_folder: Path, _rng: np.random.Generator) -> Said:
        return Said({"something": next(seeds) < wrong_of_20}, {"something": True})

    tally = Tally(Part("an analysis", {"something": 0.05}, tried))
    for seed in range(20):
        tally.try_once(tmp_path, seed)
    assert (str(tally.false["something"]), str(tally.found["something"])) == (f"{wrong_of_20}/20", "20/20")
    assert tally.most("something") == 3
    assert tally.failures == (["something"] if fails else [])


def test_data_of_a_seed_are_the_same_each_time_and_of_another_are_others(tmp_path: Path) -> None:
    drawn: list[float] = []

    def tried(_folder: Path, rng: np.random.Generator) -> Said:
        drawn.append(rng.standard_normal())
        return Said({}, {})

    for seed in (0, 0, 1):
        Tally(Part("an analysis", {}, tried)).try_once(tmp_path, seed)
    assert drawn[0] == drawn[1] != drawn[2]
