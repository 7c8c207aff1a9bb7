"""One door to trained networks of every kind; a framework is imported only for its own files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latentscan.errors import ParameterError, parameter
from latentscan.models.kinds import kind_of

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.models.network import DecodingNetwork, Loading, Network


def open_network(path: Path, loading: Loading) -> Network:
    """Open the network in a file or folder.

    Raises
    ------
    UnsafeInputError
        If loading it could run code, and the user did not vouch for it.
    UsageError
        If there is no network, or none that can be read.
    """
    kind = kind_of(path, loading)
    for field, value in (("layer", loading.layer), ("custom_objects", loading.custom_objects)):
        if value and kind != "keras":
            raise ParameterError(
                f"is for Keras models; name an output or a tensor by {parameter('outputs')}",
                field=field,
                value=getattr(value, "name", value),
            )
    if kind == "function":
        from latentscan.models.function_network import FunctionNetwork

        return FunctionNetwork.load(path, loading)
    if kind == "onnx":
        from latentscan.models.onnx_network import OnnxNetwork

        return OnnxNetwork.load(path, loading)
    from latentscan.models.keras_network import KerasNetwork  # Keras takes seconds to start

    return KerasNetwork.load(path, loading)


def open_decoder(path: Path, loading: Loading) -> DecodingNetwork:
    """Open the decoder in a file or folder.

    Raises
    ------
    UnsafeInputError
        If loading it could run code, and the user did not vouch for it.
    UsageError
        If there is no network, or none that can be read.
    """
    if kind_of(path, loading) == "onnx":
        from latentscan.models.onnx_decoder import OnnxDecoder

        return OnnxDecoder.load(path, loading)
    from latentscan.models.keras_decoder import KerasDecoder  # as above

    return KerasDecoder.load(path, loading)
