"""A store, and journals that look and write often."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from latentscan.jobs import journal as journal_module
from tests.jobs.examples import store_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WRITE_EVERY_S", "LOOK_EVERY_S", "WAKE_EVERY_S"):
        monkeypatch.setattr(journal_module, name, 0.05)


@pytest.fixture
def store(tmp_path: Path) -> str:
    return store_of(tmp_path, "z.zarr")
