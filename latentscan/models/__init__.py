"""Keras models: networks, training, and the loading of trained encoders and decoders.

`outputs`, `parameters`, `run_folder` and `points` need no Keras; every other module imports it through
`backend`.
"""
