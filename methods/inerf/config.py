"""Every choice of this method, with its default: this file is the only place where they live."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from methods.nerf.config import FieldConfig


class Registration(BaseModel):
    """How an image finds its pose, the field frozen (Yen-Chen et al. 2021, sec. 3)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tries: int = Field(default=96, ge=0)  # poses around the start that are compared first, coarsely; 0: as published
    reach: float = Field(default=25.0, ge=0)  # degrees that they are turned by, at most
    steps: int = Field(default=300, gt=0)
    rays: int = Field(default=256, gt=0)  # pixels of an image and step; the paper has 2,048
    rate: float = Field(default=1e-2, gt=0)  # Adam, on a twist; times `decay` every 100 steps
    decay: float = Field(default=0.8, gt=0, le=1)
    sampling: Literal["interest", "random"] = "interest"  # where the pixels are drawn (sec. 3.3)
    keypoints: int = Field(default=200, gt=0)  # the strongest corners of an image ...
    dilation: int = Field(default=3, ge=0)  # ... grown by a 5 x 5 square so many times make its interest region
    blurred: float = Field(default=0.5, ge=0, le=1)  # share of the steps on smaller copies of the image, from ...
    smallest: int = Field(default=50, gt=7)  # ... this longest side, px, to its own; blurred = 0: as published


class InerfConfig(FieldConfig):
    """The choices of the shared field, and those of the registration."""

    known: float = Field(default=0.5, gt=0, lt=1)  # share of the views that come with their true poses
    start_turn: float = Field(default=20.0, ge=0)  # the others start at most so many degrees off, ...
    start_shift: float = Field(default=0.2, ge=0)  # ... and this far along each axis (the radius is 4)
    registration: Registration = Registration()
    candidates: int = Field(default=3, gt=0)  # known views that a new image is registered from, the likeliest ones

    @property
    def radiance(self) -> FieldConfig:
        """The shared field's part."""
        return FieldConfig.model_validate(self.model_dump(include=set(FieldConfig.model_fields)))
