"""Settings of all tests."""

from __future__ import annotations

import signal

from hypothesis import settings

# a shared machine may stall any example: what takes too long is for the benchmarks to see
settings.register_profile("latentscan", deadline=None)
settings.load_profile("latentscan")

# a shell ignores interruptions for what it starts in the background, and so would the commands under test
signal.signal(signal.SIGINT, signal.default_int_handler)
