"""Every choice of these two methods, with its default: this file is the only place where they live."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from methods.nerf.config import FieldConfig


class PosesConfig(BaseModel):
    """Which submission: the name that `unposed submit` gave it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="unnamed", min_length=1)


class PosesNerfConfig(PosesConfig, FieldConfig):
    """The submission, and the choices of the shared field."""

    @property
    def radiance(self) -> FieldConfig:
        """The shared field's part."""
        return FieldConfig.model_validate(self.model_dump(include=set(FieldConfig.model_fields)))
