"""Pure NumPy: one block in, a mergeable partial out."""
