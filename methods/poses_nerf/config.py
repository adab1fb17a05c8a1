"""Every choice of these two methods, with its default: this file is the only place where they live."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from methods.nerf.config import PosedFieldConfig


class PosesConfig(BaseModel):
    """Which submission: the name that `unposed submit` gave it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="unnamed", min_length=1)


class PosesNerfConfig(PosesConfig, PosedFieldConfig):
    """The submission, and the choices of the shared field."""
