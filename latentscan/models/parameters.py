"""The parameters of a training, checked before Keras is imported."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from latentscan.errors import UsageError, parameter
from latentscan.processors import memory_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

Width = Annotated[int, Field(ge=1, le=65536)]


class TrainParameters(BaseModel):
    """Everything that decides what a training makes, besides the images and their preprocessing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["ae", "vae"] = Field(
        description="ae: an autoencoder with z; vae: variational, with mu and logvar"
    )
    z_dim: Width = Field(default=256, description="components of the latent space")
    filters: tuple[Width, ...] = Field(
        default=(32, 64, 128, 256),
        min_length=1,
        max_length=8,
        description="filters of the encoder's convolutions of stride 2; the decoder mirrors them",
    )
    activation: Literal["leaky_relu", "relu", "elu", "gelu", "selu", "silu", "tanh"] = Field(
        default="leaky_relu", description="activation of the hidden layers (leaky_relu has slope 0.2)"
    )
    batch_norm: bool = Field(default=False, description="normalise batches before every hidden activation")
    dense: tuple[Width, ...] = Field(
        default=(),
        max_length=8,
        description="widths of additional dense layers before the latent ones, mirrored in the decoder",
    )
    reconstruction: Literal["bce", "mse"] = Field(
        default="bce", description="reconstruction loss: binary cross-entropy or squared error"
    )
    fact: float = Field(
        default=1e-5, ge=0, le=1e12, allow_inf_nan=False, description="factor on the KL loss (VAE only)"
    )
    epochs: int = Field(
        default=24, ge=1, le=1_000_000, description="epochs in all, those before a resume included"
    )
    batch_size: int = Field(default=128, ge=1, le=1_048_576, description="images in one training step")
    learning_rate: float = Field(default=5e-4, gt=0, allow_inf_nan=False, description="learning rate of Adam")
    seed: int = Field(
        default=0, ge=0, lt=2**63, description="seed of the first weights, the order of images, and epsilon"
    )
    epsilon_limit: float = Field(
        default=5.0, gt=0, le=1e12, allow_inf_nan=False, description="epsilon is clipped to ± this (VAE only)"
    )
    epsilon_factor: float = Field(
        default=1.0,
        ge=0,
        le=1e12,
        allow_inf_nan=False,
        description="factor on the clipped epsilon (VAE only)",
    )
    logvar_limit: float | None = Field(
        default=None,
        gt=0,
        le=1e12,
        allow_inf_nan=False,
        description="logvar is clipped to ± this, in the encoder itself (VAE only); not clipped if left out",
    )
    split: Literal["train", "all"] = Field(
        default="train",
        description="images to train on: those that the source's split calls train, or all of them; "
        "a source without a split gives all",
    )
    cache_bytes: int = Field(
        default=2 * 2**30,
        ge=0,
        description="memory for decoded images; what exceeds it is decoded every epoch",
    )


_OF_A_VAE = ("fact", "epsilon_limit", "epsilon_factor", "logvar_limit")


def of_a_vae_alone(given: Iterable[str]) -> list[str]:
    """Return which of some names of parameters are of a variational autoencoder alone."""
    return sorted(set(given) & set(_OF_A_VAE))


def training_bytes(parameters: TrainParameters, size: int) -> tuple[int, int]:
    """Return the least bytes that a training holds: for the weights, and for the images of a batch.

    Weights stand beside their gradients and Adam's two moments; the layers of a batch are held for their
    gradients, in the encoder and in the decoder.

    Parameters
    ----------
    parameters
        The network, and the images of a batch.
    size
        The side of an image.

    Examples
    --------
    >>> training_bytes(TrainParameters(kind="ae", filters=(32,), z_dim=8, batch_size=1), 8)
    (158720, 4096)
    """
    channels = (3, *parameters.filters)
    convolutions = 9 * sum(before * after for before, after in pairwise(channels))
    flat = max(1, size >> len(parameters.filters)) ** 2 * parameters.filters[-1]
    widths = (flat, *parameters.dense, parameters.z_dim)
    dense = sum(before * after for before, after in pairwise(widths))
    layers = sum((size >> depth) ** 2 * width for depth, width in enumerate(parameters.filters, start=1))
    return 2 * (convolutions + dense) * 4 * 4, 2 * layers * 4 * parameters.batch_size


def require_memory(parameters: TrainParameters, size: int) -> None:
    """Check, before a network is built, that this machine can hold it.

    Raises
    ------
    UsageError
        If it has too little memory.
    """
    weights, layers = training_bytes(parameters, size)
    held = memory_bytes()
    if held is not None and weights + layers > held:
        names = ", ".join(map(parameter, ("filters", "dense", "z_dim", "batch_size", "size")))
        raise UsageError(
            f"the training would hold {weights / 1e9:,.1f} GB for weights and {layers / 1e9:,.1f} GB for the "
            f"images of a batch, and this machine has {held / 1e9:,.1f} GB: give less of {names}"
        )
