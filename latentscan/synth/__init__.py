"""Procedural faces with CelebA's forty attributes, in CelebA's layout."""
