"""Embeddings of images by t-SNE."""
