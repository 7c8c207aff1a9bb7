from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentscan.kernels import sketch as module
from latentscan.kernels.sketch import Sketch, sketch

numbers = st.lists(st.floats(0, 1e30), max_size=60)


def same(a: Sketch, b: Sketch) -> bool:
    return (
        a.dropped == b.dropped
        and a.keys.tolist() == b.keys.tolist()
        and a.counts.tolist() == b.counts.tolist()
    )


@settings(deadline=None)
@given(numbers, numbers, numbers)
def test_any_parts_in_any_order_are_the_whole(a: list[float], b: list[float], c: list[float]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "MOST_BINS", 20)
        one, two, three = (sketch(np.array(values)) for values in (a, b, c))
        whole = sketch(np.array(a + b + c))
        assert same(one.merge(two).merge(three), whole)
        assert same(three.merge(one.merge(two)), whole)
        assert same(Sketch.empty().merge(whole), whole)
        assert len(whole.keys) <= 20


def test_a_number_far_out_does_not_coarsen_the_others() -> None:
    values = np.random.default_rng(0).normal(16, 1, 300_000)
    found = sketch(np.append(values, 1e12))
    assert len(found.keys) <= module.MOST_BINS
    assert found.counts.sum() == 300_001
    shares = np.array([0.01, 0.5, 0.99])
    np.testing.assert_allclose(found.quantiles(shares), np.quantile(values, shares), rtol=2e-4)
    assert found.values[-1] == pytest.approx(1e12, rel=1e-3)
    assert np.average(found.values[:-1], weights=found.counts[:-1]) == pytest.approx(values.mean(), rel=1e-5)
