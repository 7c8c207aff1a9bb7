from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import matthews_corrcoef, mutual_info_score

from latentscan.kernels.contingency import counts_of, entropy_share, holm, phi, shared_information


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), min_size=2, max_size=60))
def test_figures_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    labels, classes = np.array(pairs).T
    counts = counts_of(labels, classes, (4, 2))
    assert counts.sum() == len(pairs)
    if 0 < classes.sum() < len(classes):
        share = classes.mean()
        entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
        expected = mutual_info_score(labels, classes) / entropy
        assert float(entropy_share(counts)) == pytest.approx(expected, abs=1e-9)
        for cluster, value in enumerate(phi(counts)[0].tolist()):
            if 0 < (labels == cluster).sum() < len(labels):
                assert value == pytest.approx(matthews_corrcoef(classes, labels == cluster))
            else:
                assert np.isnan(value)


def test_permuted_counts_are_those_of_permuted_classes() -> None:
    rng = np.random.default_rng(0)
    labels, classes = rng.integers(0, 12, 300), (rng.random(300) < 0.2).astype(np.int64)
    shares = [float(entropy_share(counts_of(labels, rng.permutation(classes), (12, 2)))) for _ in range(400)]
    found = shared_information(counts_of(labels, classes, (12, 2)), 1999, seed=0)
    assert found.chance == pytest.approx(np.mean(shares), abs=float(np.std(shares)) / 5)


def test_clusters_that_are_the_class_explain_it_and_others_do_not() -> None:
    labels = np.repeat([0, 1, 2, 3], 250)
    same = shared_information(counts_of(labels, (labels == 2).astype(np.int64), (4, 2)), 999, seed=0)
    assert same.value == pytest.approx(1, abs=0.02)
    assert same.p == 1 / 1000
    false = covered = 0
    for seed in range(100):
        classes = (np.random.default_rng(seed).random(1000) < 0.3).astype(np.int64)
        found = shared_information(counts_of(labels, classes, (4, 2)), 199, seed)
        false += found.p < 0.05
        covered += abs(found.value) < 1.96 * found.error
    assert false <= 12
    assert covered >= 90


def test_errors_are_as_large_as_samples_differ() -> None:
    rng = np.random.default_rng(1)
    joint = np.array([[0.5, 0.02], [0.15, 0.08], [0.05, 0.2]])
    drawn = [rng.multinomial(2000, joint.ravel()).reshape(3, 2) for _ in range(300)]
    shared = [shared_information(counts, 99, 0) for counts in drawn]
    assert np.mean([one.error for one in shared]) == pytest.approx(
        np.std([s.value for s in shared]), rel=0.15
    )
    values, errors = (np.array(part) for part in zip(*map(phi, drawn), strict=True))
    np.testing.assert_allclose(errors.mean(axis=0), values.std(axis=0), rtol=0.15)


def test_holm_is_that_of_its_definition() -> None:
    p = np.array([0.02, np.nan, 0.001, 0.5, 0.02])
    np.testing.assert_allclose(holm(p), [0.06, np.nan, 0.004, 0.5, 0.06])
    assert holm(np.array([])).tolist() == []
