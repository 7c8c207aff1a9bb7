"""Images that lie far out, images that lie alone, and images that are nearly the same."""

from latentscan.analyses.outliers.analysis import OUTLIERS, outliers

__all__ = ["OUTLIERS", "outliers"]
