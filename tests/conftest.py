"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# a shared machine may stall any example: what takes too long is for the benchmarks to see
settings.register_profile("latentscan", deadline=None)
settings.load_profile("latentscan")
