"""Trained encoders and decoders of any kind, and the training of Keras models.

What computes is a `Network`, which `opening` opens; a framework is imported with the first network of its
own. Every module that needs Keras imports it through `backend`.
"""
