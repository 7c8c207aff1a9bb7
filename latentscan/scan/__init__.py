"""Passes over a store: reductions over its blocks, checks, counts of rejected images."""
