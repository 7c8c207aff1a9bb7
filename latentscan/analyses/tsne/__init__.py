"""Embeddings of images by t-SNE."""

from latentscan.analyses.tsne.analysis import TSNE, tsne

__all__ = ["TSNE", "tsne"]
