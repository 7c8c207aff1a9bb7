"""How an image becomes the pixels that an encoder sees, as one recorded value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ModelWrapValidatorHandler

Loader = Literal["latentscan", "pil", "keras", "tf"]
Orientation = Literal["exif", "stored"]
Alpha = Literal["white", "black", "dropped"]
Resampling = Literal["bilinear", "bicubic", "lanczos", "box", "nearest", "bilinear-aliased"]

# What a loader does, where nothing else is asked for.
LOADERS: dict[str, dict[str, str]] = {
    "latentscan": {"orientation": "exif", "alpha": "white"},
    "pil": {"orientation": "stored", "alpha": "dropped"},
    "keras": {"orientation": "stored", "alpha": "dropped", "crop": "none", "resampling": "nearest"},
    "tf": {"orientation": "stored", "alpha": "dropped", "crop": "none", "resampling": "bilinear-aliased"},
}
ASSUMED = {"orientation": "stored", "alpha": "dropped"}  # of a training that is not known: as most loaders do
_ORIENTATION = {"exif": "turned by EXIF", "stored": "not turned by EXIF"}
_ALPHA = {"white": "alpha over white", "black": "alpha over black", "dropped": "alpha dropped"}


class Preprocessing(BaseModel):
    """The way from an image file to an encoder's input; training and encoding share one value.

    Pixels are decoded to 8-bit RGB, cropped, resized, and mapped from 0..255 to `value_range` where the
    model takes them. A record without `loader`, `orientation` and `alpha` is one of before these were
    choices, and means their defaults. What is not given beside a loader is as that loader does it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    crop: Literal["square", "none"] | Annotated[int, Field(ge=1)] = Field(
        default="square",
        description="square: the largest central square; a number: a central square of that many pixels; "
        "none: the whole image, stretched",
    )
    size: int = Field(default=96, ge=8, le=4096, description="side of the encoder's square input, pixels")
    resampling: Resampling = Field(
        default="bilinear",
        description="filter, antialiased but for nearest and bilinear-aliased (tf.image.resize)",
    )
    value_range: tuple[float, float] = Field(
        default=(0.0, 1.0), description="what the bytes 0 and 255 become at the encoder's input"
    )
    loader: Loader = Field(
        default="latentscan",
        description="load images as a library does: pil (torchvision's ImageFolder), keras (load_img), tf "
        "(tf.io.decode_image, image_dataset_from_directory), or latentscan's own way",
    )
    orientation: Orientation = Field(
        default="exif", description="exif: turned as EXIF says; stored: not turned"
    )
    alpha: Alpha = Field(default="white", description="transparent pixels: over white or black, or dropped")

    @model_validator(mode="wrap")
    @classmethod
    def _as_the_loader_does(cls, given: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        """Fill what is not given beside a loader, which then still counts as not set."""
        if not isinstance(given, dict) or "loader" not in given:
            return validate(given)
        made = validate({**LOADERS.get(str(given["loader"]), {}), **given})
        made.model_fields_set.intersection_update(given)
        return made

    @property
    def in_words(self) -> str:
        """What becomes of the EXIF orientation and of transparent pixels."""
        return f"{_ORIENTATION[self.orientation]}, {_ALPHA[self.alpha]}"


def assumed(preprocessing: Preprocessing, begun: Mapping[str, Any] | None) -> Preprocessing:
    """Return a preprocessing that no training has recorded, with what is assumed of its loader.

    Parameters
    ----------
    preprocessing
        What fits the model's input.
    begun
        The record of the preprocessing in the store that is to be gone on with, as JSON; None of a new store.
    """
    own = preprocessing.model_dump(exclude_unset=True)
    if begun is None:
        return Preprocessing.model_validate({**own, **ASSUMED})
    recorded = {name: begun[name] for name in ("loader", "orientation", "alpha") if name in begun}
    return Preprocessing.model_validate({**own, **recorded})


def as_recorded(preprocessing: Preprocessing, begun: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what a store records of a preprocessing, as JSON.

    Parameters
    ----------
    preprocessing
        How its images are prepared.
    begun
        The record in the store that is gone on with: where one of before the loader was a choice means the
        same, it stays as it is.
    """
    record = preprocessing.model_dump(mode="json")
    fields = Preprocessing.model_fields
    return {
        name: value
        for name, value in record.items()
        if begun is None or name in begun or value != fields[name].default
    }
