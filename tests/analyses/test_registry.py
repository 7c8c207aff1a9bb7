from __future__ import annotations

import subprocess
import sys

import pytest

from latentscan.analyses.analysis import Analysis
from latentscan.analyses.registry import ANALYSES, Registry


def test_a_word_names_a_value_and_a_function() -> None:
    for name, analysis in ANALYSES.items():
        assert isinstance(analysis, Analysis)
        assert analysis.name == name
        assert ANALYSES.function(name).__name__ == name
        assert ANALYSES[name] is analysis


def test_names_are_unique_with_those_of_the_parts() -> None:
    names = [one.name for analysis in ANALYSES.values() for one in (analysis, *analysis.parts)]
    assert len(set(names)) == len(names)
    for name in names:
        found = ANALYSES.find(name)
        assert found is not None
        assert found.name == name
    assert ANALYSES.find("unheard of") is None


def test_what_an_analysis_requires_and_shows_is_registered() -> None:
    for analysis in ANALYSES.values():
        required = {one.analysis for one in analysis.requires(analysis.parameters())}
        assert all(ANALYSES.find(one.name) is one for one in required)
        assert set(analysis.shows) <= {one.name for one in required}


def test_an_unknown_word_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        ANALYSES["unheard of"]
    assert "unheard of" not in ANALYSES
    assert len(Registry("stats", "pca")) == 2


def test_a_module_is_imported_when_it_is_looked_at() -> None:
    code = (
        "import sys; from latentscan.analyses.registry import ANALYSES; "
        "assert list(ANALYSES) and 'stats' in ANALYSES; before = set(sys.modules); ANALYSES['stats']; "
        "print('latentscan.analyses.stats' in before, 'latentscan.analyses.stats' in sys.modules, "
        "any(name.startswith('latentscan.analyses.tsne') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True", "False"]
