"""How an image becomes the pixels that an encoder sees, as one recorded value."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Preprocessing(BaseModel):
    """The way from an image file to an encoder's input; training and encoding share one value.

    Pixels are decoded to 8-bit RGB, cropped, resized with antialiasing, and mapped from 0..255 to
    `value_range` where the model takes them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    crop: Literal["square", "none"] | Annotated[int, Field(ge=1)] = Field(
        default="square",
        description="square: the largest central square; a number: a central square of that many pixels; "
        "none: the whole image, stretched",
    )
    size: int = Field(default=96, ge=8, le=4096, description="side of the encoder's square input, pixels")
    resampling: Literal["bilinear", "bicubic", "lanczos", "box"] = Field(
        default="bilinear", description="antialiased resampling filter"
    )
    value_range: tuple[float, float] = Field(
        default=(0.0, 1.0), description="what the bytes 0 and 255 become at the encoder's input"
    )
