from __future__ import annotations

from typing import TYPE_CHECKING

from latentscan import processors
from latentscan.processors import memory_bytes

if TYPE_CHECKING:
    import pytest


def test_the_memory_is_that_of_the_machine_or_less(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("limits")
    (folder / "limited").write_text("1000000\n")
    (folder / "unlimited").write_text("max\n")
    monkeypatch.setattr(processors, "_LIMITS", ())
    whole = memory_bytes()
    assert whole is not None
    assert whole > 2**26
    for name, expected in (("limited", 1_000_000), ("unlimited", whole), ("absent", whole)):
        monkeypatch.setattr(processors, "_LIMITS", (str(folder / name),))
        assert memory_bytes() == expected
