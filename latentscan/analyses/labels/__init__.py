"""What is known of the images as directions of the latent space, and as clusters."""

from latentscan.analyses.labels.analysis import LABELS, labels

__all__ = ["LABELS", "labels"]
