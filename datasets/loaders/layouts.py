"""The layouts that are known. A list of its own, so that a new one changes no other scene's digest."""

from __future__ import annotations

from datasets.loaders import blender, dtu, llff, middlebury, transforms
from datasets.loaders.recording import Layout

LAYOUTS: tuple[Layout, ...] = (
    blender.LAYOUT,
    transforms.LAYOUT,
    llff.LAYOUT,
    dtu.LAYOUT,
    middlebury.LAYOUT,
)
"""Asked in this order."""
