"""Stores beside one another."""

from latentscan.analyses.compare.analysis import COMPARE, compare

__all__ = ["COMPARE", "compare"]
