"""Every choice of this method, with its default: those of the poses and those of the field."""

from __future__ import annotations

from methods.nerf.config import PosedFieldConfig
from methods.sfm.config import SfmConfig


class ColmapNerfConfig(SfmConfig, PosedFieldConfig):
    """The choices of the poses and those of the shared field, side by side: `mapper=global,field=mlp`."""
