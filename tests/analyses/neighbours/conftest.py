"""A cloud large enough to be sorted into cells, made once."""

from __future__ import annotations

import pytest

from tests.analyses.neighbours.clouds import MANY, Rows, cloud


@pytest.fixture(scope="session")
def many() -> Rows:
    rows = cloud(MANY)
    rows.setflags(write=False)
    return rows
