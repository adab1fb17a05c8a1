"""The layouts that are known. A list of its own, so that a new one changes no other scene's digest."""

from __future__ import annotations

from datasets.loaders import (
    blender,
    co3d,
    colmap,
    dtu,
    llff,
    log,
    middlebury,
    mvsnet,
    navi,
    neus,
    photographs,
    transforms,
    tum,
)
from datasets.loaders.recording import Layout

LAYOUTS: tuple[Layout, ...] = (
    blender.LAYOUT,
    transforms.LAYOUT,
    llff.LAYOUT,
    dtu.LAYOUT,
    middlebury.LAYOUT,
    neus.LAYOUT,
    mvsnet.LAYOUT,
    colmap.LAYOUT,
    co3d.LAYOUT,
    navi.LAYOUT,
    tum.LAYOUT,
    log.LAYOUT,
)
"""Asked in this order."""

BARE: Layout = photographs.LAYOUT
"""Asked last, of a folder that is named outright or has a card: not every folder of images is a scene."""
