"""k-means with many numbers of clusters, and its inertia beside that of Gaussian data."""

from latentscan.analyses.kmeans.analysis import KMEANS, kmeans

__all__ = ["KMEANS", "kmeans"]
