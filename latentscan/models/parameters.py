"""The parameters of a training, checked before Keras is imported."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

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
        default=1e-5, ge=0, allow_inf_nan=False, description="factor on the KL loss (VAE only)"
    )
    epochs: int = Field(default=24, ge=1, description="epochs in all, those before a resume included")
    batch_size: int = Field(default=128, ge=1, description="images in one training step")
    learning_rate: float = Field(default=5e-4, gt=0, allow_inf_nan=False, description="learning rate of Adam")
    seed: int = Field(
        default=0, ge=0, lt=2**63, description="seed of the first weights, the order of images, and epsilon"
    )
    epsilon_limit: float = Field(
        default=5.0, gt=0, allow_inf_nan=False, description="epsilon is clipped to ± this (VAE only)"
    )
    epsilon_factor: float = Field(
        default=1.0, ge=0, allow_inf_nan=False, description="factor on the clipped epsilon (VAE only)"
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
