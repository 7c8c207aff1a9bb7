"""Procedural faces: `population` draws them, `parameters` says what they are, `portrait` paints them."""
