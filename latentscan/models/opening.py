"""One door to trained networks of every kind; a framework is imported only for its own files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from latentscan.models.kinds import kind_of

if TYPE_CHECKING:
    from pathlib import Path

    from latentscan.models.network import Loading, Network


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
    if kind == "function":
        from latentscan.models.function_network import FunctionNetwork

        return FunctionNetwork.load(path, loading)
    if kind == "onnx":
        from latentscan.models.onnx_network import OnnxNetwork

        return OnnxNetwork.load(path, loading)
    from latentscan.models.keras_network import KerasNetwork  # Keras takes seconds to start

    return KerasNetwork.load(path, loading)
