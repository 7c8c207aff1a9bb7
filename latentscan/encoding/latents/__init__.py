"""Latents that were made elsewhere, in the files in which people keep arrays."""
