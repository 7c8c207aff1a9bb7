"""Whether a cloud is one Gaussian ellipsoid, or has tails, clusters or filaments."""

from latentscan.analyses.shape.analysis import SHAPE, shape

__all__ = ["SHAPE", "shape"]
