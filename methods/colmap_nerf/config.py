"""Every choice of this method, with its default: those of the poses and those of the field."""

from __future__ import annotations

from methods.nerf.config import FieldConfig
from methods.sfm.config import SfmConfig


class ColmapNerfConfig(SfmConfig, FieldConfig):
    """The choices of the poses and those of the shared field, side by side: `mapper=global,field=mlp`."""

    @property
    def radiance(self) -> FieldConfig:
        """The shared field's part."""
        return FieldConfig.model_validate(self.model_dump(include=set(FieldConfig.model_fields)))
