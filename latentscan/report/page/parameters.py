"""What a job says of a page."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from latentscan.encoding.parameters import Names


def _page(path: str) -> str:
    if not path.lower().endswith((".html", ".htm")):
        raise ValueError("expected a name that ends in .html")
    return path


class PageParameters(BaseModel):
    """The page that a job writes when all else is done; its stores are those of the job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    out: Annotated[str, AfterValidator(_page)] = Field(description="the page, an .html file")
    images: str | None = Field(default=None, description="the images of the stores; those that are encoded")
    root: str | None = Field(default=None, description="the folder that a list's paths are relative to")
    assets: str | None = Field(default=None, description="a folder for larger thumbnails of all images")
    model: Names | None = Field(default=None, description="the run folder, or the decoder, of each store")
    trust_model: bool = Field(default=False, description="load models though they can run code")
