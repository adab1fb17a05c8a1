"""Every choice of this method, with its default: this file is the only place where they live."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from methods.nerf.config import FieldConfig


class SfmConfig(BaseModel):
    """How poses are found. The defaults are COLMAP's, but for what images of 200 pixels need."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mapper: Literal["incremental", "global"] = "incremental"
    intrinsics: Literal["given", "unknown"] = "given"
    lens: Literal["centred", "free"] = (
        "free"  # estimated intrinsics: with principal point and radial distortion, or not
    )
    masks: bool = False  # look for keypoints on the object only: needs to be told where it is

    enlarge_to: int = Field(default=400, gt=0)  # smaller images are shown to SIFT this large (longest side), ...
    max_enlargement: float = Field(default=2.0, ge=1)  # ... but not more than this many times their size
    max_features: int = Field(default=8192, gt=0)  # an image: COLMAP's own; matching time grows with the square

    min_points: int = Field(default=30, ge=0)  # a view that sees fewer points is not registered (COLMAP's own minimum)
    min_track: int = Field(default=3, ge=2)  # ... points that as many views agree on: two always agree
    min_views: int = Field(default=4, ge=2)  # a model of fewer views cannot be aligned with anything
    min_registered: float = Field(default=0.25, ge=0, le=1)  # a model with a smaller share of the views is no answer
    relax_below: float = Field(default=0.5, ge=0, le=1)  # incremental: a second attempt below this share of the views


class ColmapNerfConfig(SfmConfig, FieldConfig):
    """The choices of the poses and those of the shared field, side by side: `mapper=global,field=mlp`."""

    @property
    def radiance(self) -> FieldConfig:
        """The shared field's part."""
        return FieldConfig.model_validate(self.model_dump(include=set(FieldConfig.model_fields)))
