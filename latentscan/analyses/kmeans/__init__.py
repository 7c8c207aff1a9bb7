"""k-means with many numbers of clusters, and the gap of its inertia below that of Gaussian data."""

from latentscan.analyses.kmeans.analysis import KMEANS, kmeans

__all__ = ["KMEANS", "kmeans"]
